import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './sources.ts';

const head = `# Made by \`node infra/checks/src/generate.ts\` from infra/prometheus/rules. Do not edit: the house test compares it.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: gatehouse
  labels: { app.kubernetes.io/name: gatehouse }
spec:
  groups:
`;

/** The rules of infra/prometheus as the Prometheus operator takes them: all groups in one object. */
export function prometheusRule(): string {
  const folder = join(root, 'infra/prometheus/rules');
  const groups = readdirSync(folder)
    .filter((name) => name.endsWith('.yaml'))
    .sort()
    .map((name) => groupsOf(readFileSync(join(folder, name), 'utf8')));
  return head + groups.join('');
}

// By lines, so that the texts of the rules stay as they were written.
function groupsOf(text: string): string {
  const lines = text.trimEnd().split('\n');
  const groups = lines.slice(lines.indexOf('groups:') + 1);
  return `${groups.map((line) => (line === '' ? '' : `  ${line}`)).join('\n')}\n`;
}

import { join } from 'node:path';
import {
  EmbeddedError,
  repositoryRoot,
  type ServerProcess,
  StartFailure,
  startProcess,
} from '@gatehouse/embedded';
import { servicesPidFile } from './installation-home.mjs';

export interface ServicesPlan {
  home: string;
  address: { host: string; port: number };
  env: Record<string, string | undefined>;
  logsToTerminal: boolean;
}

const READY_TIMEOUT_MS = 30_000;
const PROBE_TIMEOUT_MS = 2_000;
const PROBE_INTERVAL_MS = 40;
const SHUTDOWN_SECONDS_DEFAULT = 15;
const SHUTDOWN_SLACK_SECONDS = 5;

export const servicesLogFile = (home: string): string => join(home, 'gatehouse.log');
/** On the command line of the services' process, so that a later start knows it for its own. */
export const servicesMarker = (home: string): string => `--home=${home}`;

/** How the services are asked to end, and how long they may take to finish what is under way. */
export function servicesStopPlan(): { signal: NodeJS.Signals; timeoutMs: number } {
  const drain = Number(process.env.DRAIN_SECONDS) || 0;
  const open = Number(process.env.SHUTDOWN_TIMEOUT_SECONDS) || SHUTDOWN_SECONDS_DEFAULT;
  return { signal: 'SIGTERM', timeoutMs: (drain + open + SHUTDOWN_SLACK_SECONDS) * 1000 };
}

/** Starts all services in one process and waits until they are ready for traffic. */
export async function startServices(plan: ServicesPlan): Promise<ServerProcess> {
  let unready = '';
  try {
    return await startProcess({
      name: 'the services',
      binary: process.execPath,
      args: [join(repositoryRoot, 'services/all-in-one/src/main.ts'), servicesMarker(plan.home)],
      env: plan.env,
      cwd: repositoryRoot,
      logFile: servicesLogFile(plan.home),
      inheritOutput: plan.logsToTerminal,
      pidFile: servicesPidFile(plan.home),
      stop: servicesStopPlan(),
      // They go at once when the launcher was shot; Postgres and NATS wait a moment longer, so that they can drain.
      orphanSeconds: 0,
      timeoutMs: READY_TIMEOUT_MS,
      probeIntervalMs: PROBE_INTERVAL_MS,
      isReady: async () => {
        const answer = await askReady(plan.address);
        unready = answer.problem;
        return answer.ready;
      },
    });
  } catch (error) {
    if (!(error instanceof StartFailure)) throw error;
    const told = plan.logsToTerminal ? 'see above' : lastFault(error.output);
    const cause = told || unready || error.message;
    throw new EmbeddedError(`the services did not start: ${cause} (log: ${error.logFile})`);
  }
}

async function askReady(address: {
  host: string;
  port: number;
}): Promise<{ ready: boolean; problem: string }> {
  const host = address.host === '0.0.0.0' || address.host === '::' ? '127.0.0.1' : address.host;
  const url = `http://${host.includes(':') ? `[${host}]` : host}:${address.port}/health/ready`;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(PROBE_TIMEOUT_MS) });
    const body = (await response.text()).slice(0, 300);
    return { ready: response.status === 200, problem: `not ready: ${body}` };
  } catch {
    return { ready: false, problem: '' };
  }
}

/** The last fault in what the services wrote: a plain line of `main`, or a log line of level error and up. */
export function lastFault(output: string): string {
  const lines = output.split('\n');
  const plain = lines.findLastIndex((line) => line.startsWith('gatehouse: '));
  if (plain >= 0) {
    // The list of wrong settings follows, indented.
    const rest = lines.slice(plain + 1);
    const end = rest.findIndex((line) => !line.startsWith('  '));
    const details = rest.slice(0, end < 0 ? rest.length : end).map((line) => line.trim());
    return [lines[plain]?.slice('gatehouse: '.length), details.join('; ')].filter(Boolean).join(' ');
  }
  for (const line of lines.reverse()) {
    const fault = faultIn(line);
    if (fault) return fault;
  }
  return lines.find((line) => /^\w*Error\b/.test(line)) ?? '';
}

const PINO_ERROR_LEVEL = 50;

function faultIn(line: string): string | undefined {
  if (!line.startsWith('{')) return undefined;
  try {
    const entry = JSON.parse(line) as {
      level?: unknown;
      msg?: unknown;
      route?: unknown;
      err?: { message?: unknown };
    };
    const grave =
      typeof entry.level === 'number'
        ? entry.level >= PINO_ERROR_LEVEL
        : /^(error|fatal)$/i.test(String(entry.level));
    // Our own question of whether they are ready tells nothing about why they are not.
    if (!grave || entry.route === '/health/ready') return undefined;
    return [entry.msg, entry.err?.message].filter((part) => typeof part === 'string').join(': ');
  } catch {
    return undefined;
  }
}

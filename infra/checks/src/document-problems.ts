import { type ProblemCode, problems, problemsOf } from '@gatehouse/kit';
import { code, page, table } from './markdown.ts';
import { routesOfServices } from './platform.ts';

const introduction = `
Every refusal is a problem document (RFC 9457, \`application/problem+json\`):

\`\`\`json
{
  "type": "urn:gatehouse:problem:locked",
  "title": "Sign-in is locked",
  "status": 423,
  "detail": "Wait for Retry-After, or ask an administrator to unlock.",
  "code": "locked",
  "trace_id": "0af7651916cd43dd8448eb211c80319c"
}
\`\`\`

\`code\` is stable: programs compare it and nothing else. \`trace_id\` finds the log lines and the audit row of the same
request. Some codes carry more: \`invalid_request\` has \`errors\` (field and rule, never the value), \`weak_password\`
has \`reasons\`. \`Retry-After\` goes with every 423, 429 and 503 that waiting cures.

The last column names the routes that declare the code. Codes of every route of a kind (those with a body, those that
need a token, …) are marked so; *the edge* answers before there is a route.
`;

const everywhere: ReadonlySet<ProblemCode> = new Set(
  problemsOf({ access: 'platform.manage', problems: [], body: {} as never }),
);

function usersOf(wanted: ProblemCode): string {
  if (everywhere.has(wanted)) return 'every route of its kind';
  const declaring = routesOfServices()
    .filter(({ route }) => route.problems.includes(wanted))
    .map(({ route }) => code(`${route.method} ${route.path}`));
  return declaring.length === 0 ? 'the edge' : declaring.join('<br>');
}

/** docs/problems.md. */
export function problemsPage(): string {
  const rows = Object.entries(problems)
    .map(([name, kind]) => ({ name: name as ProblemCode, ...kind }))
    .sort((a, b) => a.status - b.status || a.name.localeCompare(b.name, 'en'))
    .map(({ name, status, title, remedy }) => [code(name), String(status), title, remedy, usersOf(name)]);
  return page('Problems', introduction, [
    table(['Code', 'Status', 'Title', 'Remedy', 'Who answers with it'], rows),
  ]);
}

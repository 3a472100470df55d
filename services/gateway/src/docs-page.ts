import { createHash } from 'node:crypto';

interface Operation {
  readonly summary?: string;
  readonly description?: string;
  readonly 'x-access'?: string;
  readonly responses?: Readonly<Record<string, { readonly description?: string }>>;
  readonly requestBody?: { readonly content?: Readonly<Record<string, { readonly schema?: unknown }>> };
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
  }[];
}

const style = `
:root{color-scheme:light dark;--line:#8884;--soft:#8881}
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1.5rem}
h1{margin:0 0 .25rem}h2{margin:2rem 0 .5rem;text-transform:capitalize}
details{border:1px solid var(--line);border-radius:.4rem;margin:.4rem 0;padding:.4rem .7rem}
summary{cursor:pointer}code,pre{font-family:ui-monospace,monospace;font-size:.9em}
pre{background:var(--soft);padding:.6rem;overflow:auto;border-radius:.3rem}
.method{display:inline-block;min-width:4.5rem;font-weight:600}.access{float:right;opacity:.7;font-size:.85em}
dt{font-weight:600}dd{margin:0 0 .4rem 1rem;white-space:pre-line}`;

/** One page, no script, nothing from elsewhere: the policy allows this very style and nothing else. */
export const docsPolicy = `default-src 'none'; style-src 'sha256-${createHash('sha256').update(style).digest('base64')}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

/** The OpenAPI document as a page for people. */
export function docsPage(document: Record<string, unknown>): string {
  const paths = document.paths as Record<string, Record<string, Operation & { tags?: string[] }>>;
  const operations = Object.entries(paths).flatMap(([path, byMethod]) =>
    Object.entries(byMethod).map(([method, operation]) => ({ path, method, operation })),
  );
  const groups = Map.groupBy(operations, ({ operation }) => operation.tags?.[0] ?? 'other');
  const info = document.info as { title: string; version: string; description: string };
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(info.title)} API</title><style>${style}</style></head><body>
<h1>${escaped(info.title)} <small>${escaped(info.version)}</small></h1>
<p>${escaped(info.description)}</p>
<p>For programs: <a href="/openapi.json">/openapi.json</a> · events: <a href="/asyncapi.json">/asyncapi.json</a></p>
${[...groups].map(([tag, list]) => `<h2>${escaped(tag)}</h2>\n${list.map(section).join('\n')}`).join('\n')}
</body></html>
`;
}

function section(one: { path: string; method: string; operation: Operation }): string {
  const { operation } = one;
  const body = operation.requestBody?.content?.['application/json']?.schema;
  const parameters = operation.parameters ?? [];
  const parts = [
    operation.description === undefined ? '' : `<p>${escaped(operation.description)}</p>`,
    parameters.length === 0
      ? ''
      : `<p>Parameters: ${parameters.map((p) => `<code>${escaped(p.name)}</code> (${escaped(p.in)}${p.required ? ', required' : ''})`).join(', ')}</p>`,
    body === undefined ? '' : `<p>Body:</p><pre>${escaped(JSON.stringify(body, null, 2))}</pre>`,
    `<dl>${Object.entries(operation.responses ?? {})
      .map(([status, answer]) => `<dt>${escaped(status)}</dt><dd>${escaped(answer.description ?? '')}</dd>`)
      .join('')}</dl>`,
  ];
  return `<details><summary><code><span class="method">${escaped(one.method.toUpperCase())}</span> ${escaped(one.path)}</code> <span class="access">${escaped(operation['x-access'] ?? '')}</span><br>${escaped(operation.summary ?? '')}</summary>${parts.join('')}</details>`;
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escaped = (text: string): string => text.replace(/[&<>"']/g, (char) => entities[char] ?? char);

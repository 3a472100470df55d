import { code, codes, page, table } from './markdown.ts';
import { routesOfServices } from './platform.ts';

const introduction = `
The public routes, as the gateway serves them. Bodies, answers and parameters are in \`/openapi.json\` (readable at
\`/docs\`) of a running gateway, made from the same declarations.

Access: \`public\` is anybody; \`user\` needs a valid access token; anything else is the permission that the caller's
role must hold ([permissions.md](permissions.md)). What another tenant owns answers 404, not 403.

Every process also answers \`/health/live\`, \`/health/ready\` and \`/metrics\` on its own port. Routes under
\`/internal\` are for the services among themselves and never reachable through the gateway.
`;

/** docs/routes.md. */
export function routesPage(): string {
  const rows = routesOfServices()
    .sort(
      (a, b) =>
        a.route.path.localeCompare(b.route.path, 'en') || a.route.method.localeCompare(b.route.method, 'en'),
    )
    .map(({ service, route }) => [
      route.method,
      code(route.path),
      route.access,
      route.summary,
      service,
      codes(route.problems),
    ]);
  return page('Routes', introduction, [
    table(['Method', 'Path', 'Access', 'What it does', 'Service', 'Problems of its own'], rows),
  ]);
}

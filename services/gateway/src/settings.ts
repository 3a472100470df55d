import { setting } from '@gatehouse/kit';
import { limitSettings } from './limit-scopes.ts';

/** Settings of the gateway alone. */
export const gatewaySettings = {
  ...limitSettings,
  CORS_ORIGINS: setting.list({
    default: [],
    requiredIn: 'production',
    doc: 'Origins whose pages may call the API, exactly as browsers send them, e.g. https://app.example.com; none when there are no such pages.',
  }),
  UPSTREAM_TIMEOUT_SECONDS: setting.integer({
    default: 15,
    min: 1,
    max: 300,
    doc: 'How long another process may take to begin its answer; then 504.',
  }),
} as const;

/** Faults of the origins, a line each, named by their place. */
export function originFaults(origins: readonly string[]): string[] {
  if (origins.length === 1 && origins[0] === 'none') return [];
  return origins.flatMap((origin, index) =>
    isOrigin(origin)
      ? []
      : [
          `CORS_ORIGINS: entry ${index + 1} is not an origin: scheme://host[:port] in lower case, without path or trailing slash`,
        ],
  );
}

// 'null' is the origin of sandboxed frames and local files, '*' would let any page act for a person: both refused.
function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { origin, protocol } = new URL(text);
  return origin === text && (protocol === 'https:' || protocol === 'http:');
}

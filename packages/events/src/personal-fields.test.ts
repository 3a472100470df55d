import type { TSchema } from 'typebox';
import { describe, expect, it } from 'vitest';
import { catalogue, personalFields } from './index.ts';

type Properties = Readonly<Record<string, TSchema>>;
const propertiesOf = (schema: TSchema): Properties =>
  (schema as { properties?: Properties }).properties ?? {};

/** Names of fields at any depth below the first. */
function nested(schema: TSchema, depth = 0): string[] {
  const own = Object.entries(propertiesOf(schema)).flatMap(([name, inner]) => [
    ...(depth > 0 ? [name] : []),
    ...nested(inner, depth + 1),
  ]);
  const { items, anyOf } = schema as { items?: TSchema; anyOf?: TSchema[] };
  return [...own, ...[items, ...(anyOf ?? [])].flatMap((one) => (one ? nested(one, depth + 1) : []))];
}

describe('what is personal in an event', () => {
  it('is of who acted, but for the e-mail of whom an administrator changed', () => {
    // The audit erases by who acted, and by the e-mail of the one concerned; anything else of theirs would stay. An
    // address whose limits were set back is nobody's: no user is named beside it.
    const wrong = catalogue
      .filter(({ data }) => 'actor_id' in data.properties)
      .filter(({ data }) =>
        Object.keys(data.properties).some(
          (name) =>
            personalFields.has(name) && !['client_ip', 'user_agent', 'email', 'address'].includes(name),
        ),
      );
    expect(wrong.map(({ type }) => type)).toEqual([]);
  });

  it('lies at the top of the payload, where the audit sets it apart', () => {
    const wrong = catalogue.filter(({ data }) => nested(data).some((name) => personalFields.has(name)));
    expect(wrong.map(({ type }) => type)).toEqual([]);
  });
});

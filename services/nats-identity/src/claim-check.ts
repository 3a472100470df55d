import { isDeepStrictEqual } from 'node:util';
import { Problem } from '@gatehouse/kit';
import type { ClaimFault } from '@gatehouse/nats-claims';
import type { JsonObject } from '@gatehouse/schema';
import Type, { type TSchema } from 'typebox';
import { Errors } from 'typebox/value';

/** `claims` of a body that makes or changes something; what it may hold is checked once it is whole. */
export const LooseClaims = Type.Record(Type.String({ maxLength: 1024 }), Type.Unknown(), {
  description: 'The `nats` section of the JWT, in nats-server’s own field names (jwt v2).',
});
/** `claims` of a body that changes something. */
export const ClaimsPatch = Type.Record(Type.String({ maxLength: 1024 }), Type.Unknown(), {
  description: 'JSON merge patch (RFC 7396) on the claims: null removes a field, a list is replaced whole.',
});
/** `claims` as answers show them. */
export const ShownClaims = Type.Record(Type.String(), Type.Unknown());

/** What to check claims against. */
export interface ClaimCheck {
  /** Fields that are known, with their shapes. */
  readonly schema: TSchema;
  /** What is stored now: fields that nobody here knows may stay as they are. `{}` of a new object. */
  readonly before: JsonObject;
  readonly after: JsonObject;
  /** The rules of nats-server; asked only of claims whose shape is right. */
  readonly rules: (claims: JsonObject) => readonly ClaimFault[];
}

const ERRORS_MAX = 100;

/** The claims, when servers would take them. @throws Problem `invalid_claims` with `errors: [{path, message}]` */
export function checkedClaims(check: ClaimCheck): JsonObject {
  const faults = claimFaults(check);
  if (faults.length > 0) throw invalidClaims(faults);
  return check.after;
}

/** What is wrong with claims: their shape first, then the rules. */
export function claimFaults({ schema, before, after, rules }: ClaimCheck): readonly ClaimFault[] {
  const shape = shapeFaults(schema, before, after);
  return shape.length > 0 ? shape : rules(after);
}

/** The problem of claims that servers would refuse. */
export const invalidClaims = (errors: readonly ClaimFault[]): Problem =>
  new Problem('invalid_claims', { members: { errors: errors.slice(0, ERRORS_MAX) } });

function shapeFaults(schema: TSchema, before: JsonObject, after: JsonObject): ClaimFault[] {
  const faults: ClaimFault[] = [];
  for (const error of Errors(schema, after)) {
    // Says again, of the field, what `additionalProperties` says of its object.
    if (error.keyword === 'boolean') continue;
    const path = error.instancePath.split('/').slice(1).map(unescaped);
    if (error.keyword !== 'additionalProperties') {
      // The parts of a union say it already.
      if (error.keyword !== 'anyOf' || !faults.some(({ path: at }) => at === pathText(path)))
        faults.push({ path: pathText(path), message: `This ${error.message}.` });
      continue;
    }
    for (const name of error.params.additionalProperties)
      if (!wasThere(before, after, [...path, name]))
        faults.push({
          path: pathText([...path, name]),
          message: 'This is no claim that Gatehouse knows; only an imported one may stay, unchanged.',
        });
  }
  return faults.slice(0, ERRORS_MAX);
}

const unescaped = (part: string) => part.replaceAll('~1', '/').replaceAll('~0', '~');

function pathText(path: readonly string[]): string {
  return path.reduce((text, key) => {
    if (/^\d+$/.test(key)) return `${text}[${key}]`;
    if (!/^[A-Za-z_]\w*$/.test(key)) return `${text}[${JSON.stringify(key.slice(0, 200))}]`;
    return text === '' ? key : `${text}.${key}`;
  }, '');
}

/** Whether a field had this value before the change; the elements of a list may have moved. */
function wasThere(before: unknown, after: unknown, path: readonly string[]): boolean {
  const [key, ...rest] = path;
  if (key === undefined) return isDeepStrictEqual(before, after);
  if (Array.isArray(after))
    return Array.isArray(before) && before.some((one) => wasThere(one, after[Number(key)], rest));
  if (!isRecord(before) || !isRecord(after) || !Object.hasOwn(before, key)) return false;
  return wasThere(before[key], after[key], rest);
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null;

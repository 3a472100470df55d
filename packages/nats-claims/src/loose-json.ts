/**
 * Reading JSON whose shape nobody has checked: claims of an imported JWT, or of a caller before the schema's turn. What
 * has another type than expected counts as absent here; the schema names it.
 */
export type LooseObject = Readonly<Record<string, unknown>>;

export const isObject = (value: unknown): value is LooseObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

export const objectOf = (value: unknown): LooseObject => (isObject(value) ? value : {});

export const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);

export const textOf = (value: unknown): string => (typeof value === 'string' ? value : '');

export const numberOf = (value: unknown): number => (typeof value === 'number' ? value : 0);

/** The texts of a list with their places in it. */
export const textsOf = (value: unknown): (readonly [number, string])[] =>
  listOf(value).flatMap((one, index) => (typeof one === 'string' ? [[index, one] as const] : []));

import Type from 'typebox';

/** Largest body of an import: a store of some ten thousand users. */
export const IMPORT_BYTES_MAX = 32 * 1024 * 1024;

/** A file of an nsc store or of its keys as it comes. */
export const NscFileBody = Type.Object(
  {
    path: Type.String({
      minLength: 1,
      maxLength: 1024,
      description: 'Relative, with /; it names the file in errors, and is never opened.',
    }),
    content: Type.String({ maxLength: 1_100_000 }),
    mode: Type.Optional(Type.Integer({ description: 'As an export has it; of no use here.' })),
  },
  { additionalProperties: false },
);

/** A file as it is to be written. */
export const NscFileView = Type.Object({
  path: Type.String({ description: 'Relative, with /.' }),
  content: Type.String(),
  mode: Type.Integer({ description: 'For its owner alone: 384, that is 0600.' }),
});

/** What did not come along, and why. */
export const LeftOut = Type.Object({ path: Type.String(), message: Type.String() });
export type LeftOut = { readonly path: string; readonly message: string };

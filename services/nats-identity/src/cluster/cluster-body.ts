import Type from 'typebox';

/** Fields that making and changing a cluster share. */
export const ClusterName = Type.String({
  minLength: 1,
  maxLength: 128,
  pattern: '^[^\\u0000-\\u001f\\u007f]*[^\\u0000-\\u0020\\u007f][^\\u0000-\\u001f\\u007f]*$',
  description: 'Unique, whatever the case of its letters.',
});
export const ClusterDescription = Type.String({ maxLength: 1000 });
export const ClusterCreds = Type.String({
  maxLength: 16_384,
  description:
    'A .creds file of a user of the system account. Sealed, never shown. Without it, credentials are made on the fly with the key of the system account.',
});

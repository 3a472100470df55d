/** PostgreSQL's table locks, the weakest first, by the names of its manual. */
export const lockModes = [
  'ACCESS SHARE',
  'ROW SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const;
export type LockMode = (typeof lockModes)[number];

/** What others cannot do with the table meanwhile. */
export type Blocked = 'reads and writes' | 'writes' | 'changes of the schema' | 'nothing';

export const isStronger = (one: LockMode, other: LockMode | undefined): boolean =>
  other === undefined || lockModes.indexOf(one) > lockModes.indexOf(other);

export const blockedBy = (mode: LockMode): Blocked => {
  if (mode === 'ACCESS EXCLUSIVE') return 'reads and writes';
  if (isStronger(mode, 'SHARE UPDATE EXCLUSIVE')) return 'writes';
  return mode === 'SHARE UPDATE EXCLUSIVE' ? 'changes of the schema' : 'nothing';
};

/** `AccessExclusiveLock`, as pg_locks has it, by the manual's name. */
export const lockModeOf = (name: string): LockMode | undefined => {
  const words = name.replace(/Lock$/, '').replace(/(?<=[a-z])(?=[A-Z])/g, ' ');
  return lockModes.find((mode) => mode === words.toUpperCase());
};

/** Settings of audit alone; none yet: retention, checkpoints and export will have theirs. */
export const auditSettings = {} as const;

/** Something the user can mend: one line with the cause and the remedy, no stack. */
export class SetupFault extends Error {}

/** What a caught value says, on one line. */
export function reasonOf(error) {
  return String(error?.message ?? error).split('\n', 1)[0];
}

/** Runs a program's main part; every failure ends as one line and exit code 1. */
export async function runMain(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    const prefix = error instanceof SetupFault || error?.name === 'EmbeddedError' ? '' : 'unexpected: ';
    process.stderr.write(`gatehouse: ${prefix}${reasonOf(error)}\n`);
    if (process.env.GATEHOUSE_DEBUG) process.stderr.write(`${error?.stack}\n`);
    process.exit(1);
  }
}

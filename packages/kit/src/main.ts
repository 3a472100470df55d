import { ConfigError } from './config.ts';
import { describeError } from './log.ts';
import { readSettings, run } from './run.ts';
import type { Service } from './service.ts';
import { collectAfterStart } from './startup-heap.ts';
import { stopTelemetry } from './telemetry.ts';

/**
 * The `main.ts` of every service: reads the settings, honours `--check-config`, runs, waits for a signal, stops in
 * order; on SIGTERM, which is how orchestrators ask, it first lets load balancers turn away. SIGUSR2 lets the log tell
 * everything, and back. Faults are one clear line on standard error; exit codes are 0, 1 (could not run), 2 (settings).
 */
export async function main(services: readonly Service[]): Promise<void> {
  try {
    if (process.argv.includes('--check-config')) {
      for (const warning of readSettings(services).warnings) console.error(`gatehouse: ${warning}`);
      console.log('the settings are complete');
      return;
    }
    const running = await run(services);
    collectAfterStart();
    const leave = (signal: NodeJS.Signals) => {
      process.once(signal, () => process.exit(1)); // a second signal does not wait
      (signal === 'SIGTERM' ? running.leave() : running.stop()).then(stopTelemetry).then(
        () => process.exit(0),
        () => process.exit(1),
      );
    };
    process.once('SIGINT', leave);
    process.once('SIGTERM', leave);
    // Windows has no such signal.
    if (process.platform !== 'win32') process.on('SIGUSR2', running.toggleDebug);
  } catch (error) {
    console.error(
      `gatehouse: ${error instanceof ConfigError ? error.message : describeError(error).message}`,
    );
    process.exit(error instanceof ConfigError ? 2 : 1);
  }
}

import { join, resolve } from 'node:path';
import { makeHome } from './home.ts';
import { type StopPlan, stopLeftover } from './leftover.ts';
import { choosePort } from './port.ts';
import { type RunningServer, StartFailure, startProcess } from './server-process.ts';

export interface PrometheusOptions {
  /** Folder of its data and log. */
  home: string;
  /** The configuration file; names in it of rule files are relative to it. */
  configFile: string;
  /** Path of prometheus (see findPrometheus). */
  binary: string;
  /** Default: a free one. */
  port?: number | undefined;
}

const STOP: StopPlan = { signal: 'SIGTERM', timeoutMs: 10_000 };
const READY_TIMEOUT_MS = 30_000;

/** Starts Prometheus on 127.0.0.1 and waits until it answers queries. Its `url` is that of its HTTP API. */
export async function startPrometheus(options: PrometheusOptions): Promise<RunningServer> {
  const home = resolve(options.home);
  makeHome(home);
  const pidFile = join(home, 'prometheus.pid');
  await stopLeftover(pidFile, home, STOP);
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort('prometheus', options.port);
    const url = `http://127.0.0.1:${port}`;
    try {
      const server = await startProcess({
        name: 'prometheus',
        binary: options.binary,
        args: [
          `--config.file=${resolve(options.configFile)}`,
          `--storage.tsdb.path=${join(home, 'data')}`,
          `--web.listen-address=127.0.0.1:${port}`,
          '--web.enable-lifecycle',
          '--log.format=json',
        ],
        env: { PATH: process.env.PATH, HOME: home },
        cwd: home,
        logFile: join(home, 'prometheus.log'),
        pidFile,
        stop: STOP,
        timeoutMs: READY_TIMEOUT_MS,
        isReady: () => isReady(url),
      });
      return { ...server, host: '127.0.0.1', port, url };
    } catch (error) {
      if (!(error instanceof StartFailure && error.portTaken) || attempt >= 20) throw error;
    }
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    return (await fetch(`${url}/-/ready`)).ok;
  } catch {
    return false;
  }
}

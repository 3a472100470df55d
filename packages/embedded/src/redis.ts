import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { makeHome } from './home.ts';
import { type StopPlan, stopLeftover } from './leftover.ts';
import { answers } from './nats.ts';
import { choosePort } from './port.ts';
import { type RunningServer, StartFailure, startProcess } from './server-process.ts';

export interface RedisOptions {
  /** Folder for the configuration and the log; nothing is kept over a restart. */
  home: string;
  /** Default: a free one. */
  port?: number | undefined;
  /** Path of redis-server (see findRedisServer). */
  binary: string;
  /** Folder of the shared libraries it needs, when it was unpacked privately. */
  libraryPath?: string | undefined;
  password?: string | undefined;
}

const STOP: StopPlan = { signal: 'SIGTERM', timeoutMs: 5_000 };
const READY_TIMEOUT_MS = 15_000;

/** Starts redis-server on 127.0.0.1, in memory only. */
export async function startRedis(options: RedisOptions): Promise<RunningServer> {
  const home = resolve(options.home);
  makeHome(home);
  const configFile = join(home, 'redis.conf');
  const pidFile = join(home, 'redis.pid');
  await stopLeftover(pidFile, home, STOP);
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort('redis-server', options.port);
    writeFileSync(configFile, configOf({ ...options, home, port }), { mode: 0o600 });
    try {
      const server = await startProcess({
        name: 'redis-server',
        binary: options.binary,
        args: [configFile],
        env: { PATH: process.env.PATH, HOME: home, LD_LIBRARY_PATH: options.libraryPath },
        cwd: home,
        logFile: join(home, 'redis.log'),
        pidFile,
        stop: STOP,
        timeoutMs: READY_TIMEOUT_MS,
        // With a password the answer to PING is -NOAUTH: it serves all the same.
        isReady: () => answers(port, 'PING\r\n', /^(\+PONG|-NOAUTH)/),
      });
      const login = options.password === undefined ? '' : `:${encodeURIComponent(options.password)}@`;
      return { ...server, host: '127.0.0.1', port, url: `redis://${login}127.0.0.1:${port}` };
    } catch (error) {
      if (!(error instanceof StartFailure && error.portTaken) || attempt >= 20) throw error;
    }
  }
}

function configOf(options: RedisOptions & { port: number }): string {
  return `bind 127.0.0.1
port ${options.port}
dir ${JSON.stringify(options.home)}
save ""
appendonly no
daemonize no
# Its title in the process list names this file: that is how a later start knows the process for its own.
proc-title-template "{title} {listen-addr} {config-file}"
${options.password === undefined ? '' : `requirepass ${JSON.stringify(options.password)}`}
`;
}

import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join, resolve } from 'node:path';
import { makeHome } from './home.ts';
import { type StopPlan, stopLeftover } from './leftover.ts';
import { choosePort } from './port.ts';
import { type RunningServer, StartFailure, startProcess } from './server-process.ts';

export interface NatsOptions {
  /** Folder for the configuration, the streams and the log. */
  home: string;
  /** Default: a free one. */
  port?: number | undefined;
  /** One user with a password; left out in operator mode, where `config` says who may connect. */
  login?: { user: string; password: string } | undefined;
  /** Path of nats-server (see findNatsServer). */
  binary: string;
  /** Default: one of the home, the same at every start: who watches a server knows it again. */
  serverName?: string | undefined;
  /** Further lines of configuration: operator and resolver, cluster routes, limits. */
  config?: string | undefined;
}

const STOP: StopPlan = { signal: 'SIGTERM', timeoutMs: 10_000 };
const READY_TIMEOUT_MS = 30_000;

/** Starts nats-server with JetStream on 127.0.0.1; every acknowledged message is on disk (`sync_interval: always`). */
export async function startNats(options: NatsOptions): Promise<RunningServer> {
  const home = resolve(options.home);
  makeHome(home);
  const configFile = join(home, 'nats.conf');
  const pidFile = join(home, 'nats.pid');
  await stopLeftover(pidFile, configFile, STOP);
  for (let attempt = 1; ; attempt += 1) {
    const port = await choosePort('nats-server', options.port);
    const name = options.serverName ?? nameOf(home);
    writeFileSync(configFile, configOf({ ...options, home, port, name }), { mode: 0o600 });
    try {
      const server = await startProcess({
        name: 'nats-server',
        binary: options.binary,
        args: ['-c', configFile],
        env: { PATH: process.env.PATH, HOME: home, SystemRoot: process.env.SystemRoot },
        cwd: home,
        logFile: join(home, 'nats.log'),
        pidFile,
        stop: STOP,
        timeoutMs: READY_TIMEOUT_MS,
        isReady: () => greets(port, name),
      });
      return { ...server, host: '127.0.0.1', port, url: `nats://${loginOf(options)}127.0.0.1:${port}` };
    } catch (error) {
      if (!(error instanceof StartFailure && error.portTaken) || attempt >= 20) throw error;
    }
  }
}

const nameOf = (home: string): string =>
  `gatehouse-${createHash('sha256').update(home).digest('hex').slice(0, 12)}`;

function loginOf({ login }: NatsOptions): string {
  return login === undefined
    ? ''
    : `${encodeURIComponent(login.user)}:${encodeURIComponent(login.password)}@`;
}

function configOf(options: NatsOptions & { port: number; name: string }): string {
  // JSON strings are valid in nats-server's configuration and need no further quoting.
  const text = (value: string) => JSON.stringify(value);
  const { login } = options;
  return `# Written at every start.
host: "127.0.0.1"
port: ${options.port}
server_name: ${text(options.name)}
${login === undefined ? '' : `authorization { user: ${text(login.user)}, password: ${text(login.password)} }`}
jetstream {
  store_dir: ${text(join(options.home, 'jetstream'))}
  # The default syncs every two minutes: an acknowledged event could be lost with the machine.
  sync_interval: always
}
${options.config ?? ''}
`;
}

/** It greets with INFO as soon as it serves, its streams recovered; the name shows that it is ours, not another on the port. */
function greets(port: number, name: string): Promise<boolean> {
  return answers(port, undefined, new RegExp(`^INFO {.*"server_name":"${name}"`));
}

/** Opens a connection, says `question`, and tells whether the first bytes match `expected`. */
export function answers(port: number, question: string | undefined, expected: RegExp): Promise<boolean> {
  return new Promise((resolvePromise) => {
    const socket = connect({ host: '127.0.0.1', port });
    const finish = (result: boolean) => {
      socket.destroy();
      resolvePromise(result);
    };
    let text = '';
    socket.setTimeout(1_000, () => finish(false));
    socket.once('error', () => finish(false));
    socket.once('close', () => finish(false));
    socket.once('connect', () => {
      if (question !== undefined) socket.write(question);
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n')) finish(expected.test(text));
    });
  });
}

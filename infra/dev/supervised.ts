import { setTimeout as delay } from 'node:timers/promises';
import { reasonOf, type ServerProcess } from '@gatehouse/embedded';

const RESTART_DELAY_MS = 500;
const RESTARTS_MAX = 5;
const RESTARTS_WINDOW_MS = 60_000;

/** What a supervised part tells. */
export interface Supervision {
  /** It ended by itself and is being started again, or is up again. */
  say: (line: string) => void;
  /** After each new start: its process id is another. */
  onRestart: () => void;
  /** It ended too often, or could not be started again: the whole has to stop. */
  onGiveUp: (why: string) => void;
}

/** A server that is started again when it ends although nobody here asked it to. */
export class Supervised<S extends ServerProcess> {
  readonly name: string;
  readonly #start: () => Promise<S>;
  readonly #supervision: Supervision;
  readonly #watching: Promise<void>;
  #server: S;
  #stopping = false;

  private constructor(name: string, server: S, start: () => Promise<S>, supervision: Supervision) {
    this.name = name;
    this.#server = server;
    this.#start = start;
    this.#supervision = supervision;
    this.#watching = this.#watch();
  }

  /** Starts it; `again` starts it in the same place (its port) after it ended. */
  static async start<S extends ServerProcess>(
    name: string,
    plan: { first: () => Promise<S>; again: (before: S) => Promise<S> },
    supervision: Supervision,
  ): Promise<Supervised<S>> {
    const server = await plan.first();
    return new Supervised(name, server, () => plan.again(server), supervision);
  }

  get server(): S {
    return this.#server;
  }

  /** Orderly end. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await this.#server.stop();
    await this.#watching;
  }

  /** Ends it without waiting for anything. */
  kill(): Promise<void> {
    this.#stopping = true;
    return this.#server.kill();
  }

  async #watch(): Promise<void> {
    const restarts: number[] = [];
    for (;;) {
      const { code, signal } = await this.#server.exited;
      if (this.#stopping) return;
      const now = performance.now();
      restarts.push(now);
      const recent = restarts.filter((at) => now - at < RESTARTS_WINDOW_MS).length;
      const how = `${this.name} ended (${signal ?? `exit code ${code}`})`;
      if (recent > RESTARTS_MAX) {
        this.#supervision.onGiveUp(
          `${how} for the ${recent}th time within a minute (log: ${this.#server.logFile})`,
        );
        return;
      }
      this.#supervision.say(`${how}; starting it again`);
      await delay(RESTART_DELAY_MS);
      if (this.#stopping) return;
      try {
        this.#server = await this.#start();
      } catch (error) {
        this.#supervision.onGiveUp(`${how} and could not be started again: ${reasonOf(error)}`);
        return;
      }
      if (this.#stopping) return this.#server.stop();
      this.#supervision.onRestart();
      this.#supervision.say(`${this.name} is up again`);
    }
  }
}

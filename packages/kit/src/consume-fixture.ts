import { EventEmitter, once } from 'node:events';
import { connect, type KitDatabase } from '@gatehouse/schema';
import { pino } from 'pino';
import { connectBus } from './bus.ts';
import { startConsumer } from './consume.ts';
import { listDeadLetters } from './dead-letter.ts';
import { recordEffect } from './event-testing.ts';
import { createMetrics } from './metrics.ts';

/** A process that one event kills (consume.test.ts): exits with 9 then, with 0 once that event is a dead letter. */
const { FIXTURE_DATABASE = '', FIXTURE_NATS = '', POISON = '' } = process.env;
const log = pino({ level: 'silent' });
const bus = connectBus({ url: FIXTURE_NATS, name: 'fixture', log });
const { db, pool } = connect<KitDatabase>({ url: FIXTURE_DATABASE, service: 'auth' });
await startConsumer(
  {
    name: 'test',
    filter: 'session.>',
    ackWaitSeconds: 1,
    handle: () => async (tx, events) => {
      await recordEffect(tx, events);
      if (events.some(({ id }) => id === POISON)) process.exit(9);
    },
  },
  { db, bus, log, metrics: createMetrics({ runtime: false }) },
);
const buried = new EventEmitter();
setInterval(async () => {
  if ((await listDeadLetters(pool)).length > 0) buried.emit('one');
}, 100);
await once(buried, 'one');
process.exit(0);

// The raw limit of HTTP: a Fastify route that does nothing. Prints its port.
import Fastify from 'fastify';

const app = Fastify();
app.get('/', async () => ({ hello: 'world' }));
await app.listen({ host: '127.0.0.1', port: 0 });
const address = app.server.address();
console.log(typeof address === 'object' ? address?.port : '');
process.once('SIGTERM', () => process.exit(0));

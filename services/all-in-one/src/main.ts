import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { services } from './services.ts';

await main(services);

import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { token } from './service.ts';

await main([token]);

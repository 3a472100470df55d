import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { auth } from './service.ts';

await main([auth]);

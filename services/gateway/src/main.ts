import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { gateway } from './service.ts';

await main([gateway]);

import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { natsIdentity } from './service.ts';

await main([natsIdentity]);

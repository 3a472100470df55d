import '@gatehouse/kit/telemetry';
import { main } from '@gatehouse/kit';
import { audit } from './service.ts';

await main([audit]);

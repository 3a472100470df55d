/** What a look at an installation from outside needs of the kit: how settings are read, and how one signs in to NATS. */
export { credsFile, credsLogin, urlLogin } from './bus-login.ts';
export { ConfigError } from './config.ts';
export { CONFIG_FILE_DEFAULT, withConfigFile } from './config-file.ts';
export { type Keyring, parseKeyring } from './keyring.ts';
export { readSettings } from './run.ts';
export type { BaseConfig } from './settings.ts';

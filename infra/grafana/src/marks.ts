import { ago, calculate, max, without } from './promql.ts';
import { series, type Vector } from './series.ts';

/** What is marked on every graph: when it happened. */
export interface Mark {
  readonly name: string;
  readonly colour: string;
  readonly of: Vector<string>;
  /** Whether the value is the time, in milliseconds; otherwise each time at which there is a series is marked. */
  readonly valueIsTime: boolean;
  readonly title: string;
  readonly text: string;
}

const running = series('gatehouse_build_info');

/** From when on a release runs that did not ten minutes before. */
export const deploys: Mark = {
  name: 'Deploys',
  colour: 'blue',
  of: without(max(running, 'service', 'version'), max(ago(running, '10m'), 'service', 'version')),
  valueIsTime: false,
  title: '{{service}} {{version}}',
  text: 'A release that did not run ten minutes before.',
};

/** When a signing key began to sign. */
export const keyRotations: Mark = {
  name: 'Key rotations',
  colour: 'purple',
  of: calculate(max(series('token_signing_key_activated_timestamp_seconds')), '*', 1000),
  valueIsTime: true,
  title: 'Signing key rotated',
  text: 'A new key signs tokens from here on.',
};

import { styleText } from 'node:util';

/** What the command uses, and for what: names of columns, remarks, and how something stands. */
export type Colour = 'bold' | 'dim' | 'green' | 'yellow' | 'red';

/** What decides about colour besides the stream. */
export interface ColourChoice {
  /** `--no-color` was said. */
  readonly refused?: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

let refused = false;

/** `--no-color`: none from here on, whatever the environment says. */
export function refuseColour(): void {
  refused = true;
}

/**
 * Whether a stream gets colour: never with `--no-color` or NO_COLOR (https://no-color.org), always with FORCE_COLOR,
 * otherwise on a terminal that is not "dumb".
 */
export function usesColour(stream: { readonly isTTY?: boolean }, choice: ColourChoice = {}): boolean {
  const { env = process.env } = choice;
  if (choice.refused ?? refused) return false;
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '')
    return !['0', 'false'].includes(env.FORCE_COLOR);
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** A text in a colour, where the stream gets any. */
export function coloured(colour: Colour, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  return usesColour(stream) ? styleText(colour, text, { validateStream: false }) : text;
}

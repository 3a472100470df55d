import stringWidth from 'string-width';

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** Cells that a text takes on a terminal: East Asian and emoji two, combining marks none. */
export const widthOf = (text: string): number => stringWidth(text);

/** The text in exactly `width` cells: filled up with blanks, or cut between two characters and ended with an ellipsis. */
export function fitted(text: string, width: number): string {
  const shown = widthOf(text) > width ? cut(text, width) : text;
  return shown + ' '.repeat(Math.max(0, width - widthOf(shown)));
}

function cut(text: string, width: number): string {
  let kept = '';
  let taken = 0;
  for (const { segment } of graphemes.segment(text)) {
    const cells = widthOf(segment);
    if (taken + cells > width - 1) break;
    kept += segment;
    taken += cells;
  }
  return width < 1 ? '' : `${kept}…`;
}

/** The text in lines of at most `width` cells, broken at blanks; a longer word stands on a line of its own. */
export function wrapped(text: string, width: number | undefined): string[] {
  if (width === undefined) return [text];
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    const longer = `${last} ${word}`;
    if (last === undefined || widthOf(longer) > width) lines.push(word);
    else lines[lines.length - 1] = longer;
  }
  return lines;
}

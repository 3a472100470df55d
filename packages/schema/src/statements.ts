/**
 * Takes SQL text apart into its statements, without their semicolons and without comments before them. Knows quotes,
 * dollar quotes, nested comments and the bodies of SQL functions (`begin atomic … end`).
 */
export const statementsOf = (text: string): readonly string[] => {
  const statements: string[] = [];
  let start = 0;
  let words: string[] = [];
  const end = (at: number): void => {
    const statement = withoutLeadingComments(text.slice(start, at)).trim();
    if (statement !== '') statements.push(statement);
    start = at + 1;
    words = [];
  };
  for (let at = 0; at < text.length; ) {
    const piece = pieceAt(text, at);
    if (piece.kind === 'word') words.push(piece.text.toLowerCase());
    if (piece.kind === 'sign' && piece.text === ';' && !isInBody(words)) end(at);
    at += piece.text.length;
  }
  end(text.length);
  return statements;
};

interface Piece {
  readonly kind: 'word' | 'quoted' | 'comment' | 'sign';
  readonly text: string;
}

/** The text of the statement with neither comments nor what is quoted: what is left to look for words in. */
export const bareText = (statement: string): string => {
  let bare = '';
  for (let at = 0; at < statement.length; ) {
    const piece = pieceAt(statement, at);
    bare += piece.kind === 'comment' || piece.kind === 'quoted' ? ' ' : piece.text;
    at += piece.text.length;
  }
  return bare.replace(/\s+/g, ' ').trim().toLowerCase();
};

const pieceAt = (text: string, at: number): Piece => {
  const rest = text.slice(at, at + 2);
  if (rest === '--') return { kind: 'comment', text: upTo(text, at, text.indexOf('\n', at)) };
  if (rest === '/*') return { kind: 'comment', text: blockComment(text, at) };
  const word = /[\p{L}_][\p{L}\p{N}_$]*/uy;
  word.lastIndex = at;
  const found = word.exec(text)?.[0];
  if (found !== undefined) {
    // e'…' is the one string in which a backslash hides a quote.
    if (/^e$/i.test(found) && text[at + 1] === "'")
      return { kind: 'quoted', text: found + quoted(text, at + 1, true) };
    return { kind: 'word', text: found };
  }
  const sign = text[at] ?? '';
  if (sign === "'" || sign === '"') return { kind: 'quoted', text: quoted(text, at, false) };
  const tag = sign === '$' ? dollarTag(text, at) : undefined;
  if (tag !== undefined) {
    const close = text.indexOf(tag, at + tag.length);
    return { kind: 'quoted', text: upTo(text, at, close === -1 ? -1 : close + tag.length) };
  }
  return { kind: 'sign', text: sign };
};

const upTo = (text: string, from: number, end: number): string =>
  text.slice(from, end === -1 ? undefined : end);

const dollarTag = (text: string, at: number): string | undefined => {
  const tag = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;
  tag.lastIndex = at;
  return tag.exec(text)?.[0];
};

/** From a quote to the one that ends it; two in a row stand for one. */
const quoted = (text: string, from: number, backslashes: boolean): string => {
  const quote = text[from];
  for (let at = from + 1; at < text.length; at += 1) {
    if (backslashes && text[at] === '\\') at += 1;
    else if (text[at] === quote) {
      if (text[at + 1] !== quote) return text.slice(from, at + 1);
      at += 1;
    }
  }
  return text.slice(from);
};

const blockComment = (text: string, from: number): string => {
  let depth = 0;
  for (let at = from; at < text.length; at += 1) {
    const two = text.slice(at, at + 2);
    if (two === '/*') depth += 1;
    else if (two === '*/') depth -= 1;
    else continue;
    at += 1;
    if (depth === 0) return text.slice(from, at + 1);
  }
  return text.slice(from);
};

/** Whether the semicolon after these words is one within `begin atomic … end`, where `case` has an `end` of its own. */
const isInBody = (words: readonly string[]): boolean => {
  const begin = words.findIndex((word, at) => word === 'begin' && words[at + 1] === 'atomic');
  if (begin === -1) return false;
  let depth = 1;
  for (const word of words.slice(begin + 2)) {
    if (word === 'case') depth += 1;
    if (word === 'end') depth -= 1;
  }
  return depth > 0;
};

const withoutLeadingComments = (text: string): string => {
  let at = 0;
  for (;;) {
    while (/\s/.test(text[at] ?? '')) at += 1;
    const piece = at < text.length ? pieceAt(text, at) : undefined;
    if (piece?.kind !== 'comment') return text.slice(at);
    at += piece.text.length;
  }
};

const ONLINE =
  /^(?:create (?:unique )?index concurrently|drop index concurrently|reindex (?:\([^)]*\) )?(?:index|table|schema) concurrently|alter table .* detach partition .* concurrently|vacuum)\b/;

/** Whether Postgres refuses the statement within a transaction, because it works in several of its own. */
export const isOnline = (statement: string): boolean => ONLINE.test(bareText(statement));

/** The statement as it may run in a transaction: what builds concurrently builds at once. For empty tables. */
export const withinTransaction = (statement: string): string =>
  isOnline(statement) ? statement.replace(/\sconcurrently\b/i, '') : statement;

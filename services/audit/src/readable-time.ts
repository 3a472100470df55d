/** The last moment that both JavaScript and Postgres write with a year of four digits. */
export const endOfTimeMs = Date.UTC(9999, 11, 31, 23, 59, 59, 999);

/** The time that a text of RFC 3339 means; undefined for none, and for what an offset carries out of the years 1 to 9999. */
export function readableTime(text: string): Date | undefined {
  const time = new Date(text);
  if (Number.isNaN(time.getTime())) return undefined;
  // Postgres reads neither the year 0 nor the sign before a fifth digit.
  return time.getUTCFullYear() >= 1 && time.getTime() <= endOfTimeMs ? time : undefined;
}

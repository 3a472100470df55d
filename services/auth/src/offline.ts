/** What commands do with the tables of people while no service needs to run. */
export { type BreakGlass, type BreakGlassOutcome, breakGlass } from './break-glass.ts';
export { type PepperSettings, passwordsWithoutPepper } from './stored-peppers.ts';

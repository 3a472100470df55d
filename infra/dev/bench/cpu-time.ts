import { readdirSync, readFileSync } from 'node:fs';
import { commandLineOf } from '@gatehouse/embedded';

/** Linux counts processor time in hundredths of a second, whatever the machine. */
const TICK_MS = 10;

/** Milliseconds of processor time that a process has used, with its threads. */
export const cpuMs = (pid: number): number => msOf(statOf(pid).slice(11, 13));

/** The same with its children, also those that have ended. */
export const familyCpuMs = (pid: number): number =>
  msOf(statOf(pid).slice(11, 15)) + childrenOf(pid).reduce((sum, child) => sum + cpuMs(child), 0);

const msOf = (ticks: readonly string[]): number => ticks.reduce((sum, one) => sum + Number(one) * TICK_MS, 0);

/** The fields of /proc/…/stat after the name, which may hold anything; none of a process that is gone. */
function statOf(pid: number): string[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return [];
  }
}

const processes = (): number[] => readdirSync('/proc').map(Number).filter(Number.isInteger);

/** The processes with that in their command line. */
export const processesNamed = (text: string): number[] =>
  processes().filter((pid) => commandLineOf(pid).includes(text));

const childrenOf = (pid: number): number[] => processes().filter((one) => Number(statOf(one)[1]) === pid);

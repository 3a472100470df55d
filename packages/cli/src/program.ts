import { Command } from 'commander';
import { addAccount } from './commands/account.ts';
import { addAdmin } from './commands/admin.ts';
import { addAllowance } from './commands/allowance.ts';
import { addBus } from './commands/bus.ts';
import { addCluster } from './commands/cluster.ts';
import { addCompletion } from './commands/completion.ts';
import { addDoctor } from './commands/doctor.ts';
import { addKeys } from './commands/keys.ts';
import { addLogin } from './commands/login.ts';
import { addMigrate } from './commands/migrate.ts';
import { addOperator } from './commands/operator.ts';
import { addProfile } from './commands/profile.ts';
import { addRole } from './commands/role.ts';
import { addUser } from './commands/user.ts';
import { frame } from './frame.ts';
import { addGroupExamples } from './group-examples.ts';

/** The whole command. Exit codes: 0 done, 1 refused, 2 wrong usage. */
export function createProgram(): Command {
  const program = frame(new Command('gatehouse'));
  addLogin(program);
  addProfile(program);
  addDoctor(program);
  addMigrate(program);
  addKeys(program);
  addAdmin(program);
  addOperator(program);
  addAccount(program);
  addRole(program);
  addUser(program);
  addCluster(program);
  addAllowance(program);
  addBus(program);
  addCompletion(program);
  addGroupExamples(program);
  return program;
}

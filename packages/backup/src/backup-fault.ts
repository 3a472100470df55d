/** A backup that cannot be made, read or restored; the message is one line that says why and what to do. */
export class BackupFault extends Error {
  override readonly name = 'BackupFault';
}

/** The section of the runbook that e2e/symptoms-certificate.e2e.ts follows: it needs servers that speak TLS. */
export const sectionOfCertificates = 'GatehouseCertificateExpiring';

/** The section of the runbook that e2e/symptoms-disk.e2e.ts follows: it needs a disk that may be filled. */
export const sectionOfDisks = 'The disk is full';

/** Sections of the runbook that e2e/symptoms-settings.e2e.ts follows: what they are about is seen at a start. */
export const sectionsOfSettings = [
  'Wrong client address',
  'Metrics answer 403',
  'It refuses to start',
  'An encryption key is missing',
  'Port taken',
] as const;

/** Sections of the runbook that e2e/symptoms-resources.e2e.ts follows: a process is started with less than it needs. */
export const sectionsOfResources = ['GatehouseCpuHigh', 'GatehouseMemoryHigh'] as const;

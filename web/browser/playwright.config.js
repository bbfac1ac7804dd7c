import { defineConfig } from '@playwright/test';

// The tests share one installation; each makes its own environment, so that they can run side by side.
export default defineConfig({
  testDir: '.',
  outputDir: 'results/traces',
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 90_000,
  expect: { timeout: 15_000 },
  forbidOnly: true,
  reporter: [['list']],
  use: {
    baseURL: process.env.VIRIDIAN_URL,
    browserName: 'chromium',
    launchOptions: { executablePath: process.env.VIRIDIAN_CHROMIUM, args: ['--no-sandbox'] },
    viewport: { width: 1280, height: 900 },
    trace: 'off',
  },
});

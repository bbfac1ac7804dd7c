// Every page, light and dark, wide and on a phone: a screenshot to look at, no finding of axe, nothing that scrolls
// sideways.
import AxeBuilder from '@axe-core/playwright';
import { test, expect, signIn, api } from './world.js';

async function places(world) {
  const w = await world({ description: 'What the screenshots show' });
  await w.register('1.0.0', { artifact: { digest: 'sha256:' + 'a'.repeat(64), source: { repository: 'https://git.example/shop', commit: 'c0ffee', url: 'https://ci.example/build/1' } } });
  await w.promote(1);
  await w.register('1.1.0');
  await w.promote(2);
  await w.register('1.2.0');
  await api('PUT', `${w.url}/lock`, { reason: 'a freeze over the weekend' });
  const p = w.path;
  return {
    overview: '/', environment: p, generation: `${p}/generations/1`, switches: `${p}/switches`, switch: `${p}/switches/2`,
    audit: '/audit', fleet: '/fleet', tokens: '/tokens', 'new-token': '/tokens/new', sessions: '/sessions', wall: '/wall', start: '/start',
    'new-environment': '/new-environment', edit: `${p}/edit`, versions: `${p}/versions`, promote: `${p}/generations/3/promote`,
    rollback: `${p}/rollback`, weights: `${p}/weights`, unlock: `${p}/unlock`, retire: `${p}/generations/1/retire`, keep: `${p}/generations/1/keep`,
    delete: `${p}/delete`, keys: '/keys', find: `/find?q=${w.name}`, missing: '/environments/nowhere',
  };
}

for (const scheme of ['light', 'dark']) {
  test(`pages in ${scheme}`, async ({ browser, world }) => {
    test.setTimeout(300_000);
    const all = await places(world);
    const context = await browser.newContext({ colorScheme: scheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    const check = async (label) => {
      const found = await new AxeBuilder({ page }).analyze();
      expect.soft(found.violations.map((v) => `${label}: ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)).toEqual([]);
    };
    await page.goto('/login');
    await check('login');
    await page.screenshot({ path: `results/${scheme}/login.png`, fullPage: true });
    await signIn(page);
    for (const [label, path] of Object.entries(all)) {
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.goto(path);
      await check(label);
      await page.screenshot({ path: `results/${scheme}/${label}.png`, fullPage: true });
      await page.setViewportSize({ width: 390, height: 844 });
      await page.screenshot({ path: `results/${scheme}/${label}-390.png`, fullPage: true });
      if (label !== 'wall') expect.soft(await page.evaluate(() => document.documentElement.scrollWidth), `${label} scrolls sideways at 390 px`).toBeLessThanOrEqual(390);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto(all.environment);
    await page.getByRole('link', { name: /^Roll back to/ }).first().click();
    await expect(page.locator('#dialog')).toContainText('goes from generation 2 back to generation 1');
    await check('dialog');
    await page.screenshot({ path: `results/${scheme}/dialog.png` });
    await context.close();
  });
}

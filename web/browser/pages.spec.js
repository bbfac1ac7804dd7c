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
    audit: `/audit?environment=${w.name}`, verify: `/audit/verify?environment=${w.name}`, fleet: '/fleet', tokens: '/tokens', 'new-token': '/tokens/new', sessions: '/sessions', wall: '/wall', start: '/start',
    'new-environment': '/new-environment', edit: `${p}/edit`, versions: `${p}/versions`, promote: `${p}/generations/3/promote`,
    rollback: `${p}/rollback`, weights: `${p}/weights`, unlock: `${p}/unlock`, retire: `${p}/generations/1/retire`, keep: `${p}/generations/1/keep`,
    delete: `${p}/delete`, keys: '/keys', find: `/find?q=${w.name}`, missing: '/environments/nowhere',
  };
}

// axeOf asks one page alone: there are no frames, whose findings would be gathered on a page of their own.
const axeOf = (page) => new AxeBuilder({ page }).setLegacyMode();

// shoot takes a picture of the page, and sees that nothing of it is to be scrolled to sideways.
async function shoot(page, label, width) {
  await page.screenshot({ path: `results/${label}.png`, fullPage: true });
  expect.soft(await page.evaluate(() => document.documentElement.scrollWidth), `${label} scrolls sideways`).toBeLessThanOrEqual(width);
}

for (const scheme of ['light', 'dark']) {
  test(`pages in ${scheme}`, async ({ browser, world }) => {
    test.setTimeout(300_000);
    const all = await places(world);
    const context = await browser.newContext({ colorScheme: scheme, reducedMotion: 'reduce' });
    const page = await context.newPage();
    page.on('pageerror', (e) => expect.soft(String(e), `an error in a script of ${page.url()}`).toBe(''));
    // What a page consists of is the same in both themes; only its colours are not.
    const axe = () => (scheme === 'light' ? axeOf(page) : axeOf(page).withRules(['color-contrast', 'link-in-text-block']));
    const check = async (label) => {
      const found = await axe().analyze();
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
      await shoot(page, `${scheme}/${label}`, 1280);
      if (scheme === 'dark' && !['overview', 'environment', 'wall', 'promote'].includes(label)) continue;
      await page.setViewportSize({ width: 390, height: 844 });
      await shoot(page, `${scheme}/${label}-390`, 390);
    }
    await page.setViewportSize({ width: 1280, height: 900 });
    await page.goto('/wall'); // where there is no dialog to open
    for (const key of ['?', '/', 'Control+k', 'g', 'f', 'p', 'Escape']) await page.keyboard.press(key);
    expect.soft(new URL(page.url()).pathname).toBe('/wall');
    await page.goto(all.environment);
    await page.getByRole('link', { name: /^Roll back to/ }).first().click();
    await expect(page.locator('#dialog')).toContainText('goes from generation 2 back to generation 1');
    await check('dialog');
    await page.screenshot({ path: `results/${scheme}/dialog.png` });
    await context.close();
  });
}

// Other eyes and other screens: more contrast, colours of the reader's own, a wall of pixels, and the smallest phone.
const screens = {
  contrast: { options: { contrast: 'more' }, size: { width: 1280, height: 900 }, pages: ['overview', 'environment', 'promote'] },
  'contrast-dark': { options: { contrast: 'more', colorScheme: 'dark' }, size: { width: 1280, height: 900 }, pages: ['environment'] },
  forced: { options: { forcedColors: 'active' }, size: { width: 1280, height: 900 }, pages: ['overview', 'environment'] },
  '4k': { options: { colorScheme: 'dark' }, size: { width: 3840, height: 2160 }, pages: ['overview', 'environment', 'wall'] },
  '360': { options: {}, size: { width: 360, height: 740 }, pages: ['overview', 'environment', 'wall', 'audit', 'promote', 'edit'] },
};

test('pages on other screens and for other eyes', async ({ browser, world }) => {
  test.setTimeout(200_000);
  const all = await places(world);
  for (const [kind, { options, size, pages }] of Object.entries(screens)) {
    const context = await browser.newContext({ ...options, viewport: size, reducedMotion: 'reduce' });
    const page = await context.newPage();
    await signIn(page);
    for (const label of pages) {
      await page.goto(all[label]);
      await shoot(page, `${kind}/${label}`, size.width);
      if (kind.startsWith('contrast')) {
        const found = await axeOf(page).withRules(['color-contrast-enhanced', 'color-contrast']).analyze();
        expect.soft(found.violations.map((v) => `${label}: ${v.id}: ${v.nodes.map((n) => n.target.join(' ')).join(', ')}`)).toEqual([]);
      }
    }
    await context.close();
  }
});

test('nothing moves for who asked for that', async ({ browser }) => {
  for (const reducedMotion of ['reduce', 'no-preference']) {
    const context = await browser.newContext({ reducedMotion });
    const page = await context.newPage();
    await signIn(page);
    await page.goto('/');
    await page.route('**/live*', (route) => route.abort());
    await page.reload();
    await expect(page.locator('#live')).toHaveAttribute('data-state', 'reconnecting');
    const moving = await page.evaluate(() => document.getAnimations().filter((a) => a.playState === 'running').length);
    if (reducedMotion === 'reduce') expect(moving).toBe(0);
    else expect(moving).toBeGreaterThan(0);
    await context.close();
  }
});

// The same deeds without a mouse.
import { test, expect, signIn, until } from './world.js';

const dialog = (page) => page.locator('#dialog');

async function ready(world) {
  const w = await world();
  await w.register('1.0.0');
  await w.promote(1);
  await w.register('1.1.0');
  return w;
}

test('promote and roll back by the keyboard alone', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto(w.path);
  await page.keyboard.press('p');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await expect(page.locator('#route')).toContainText('revision 2');
  await page.keyboard.press('r');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  expect((await w.route()).live).toBe(1);
});

test('weights, lock and unlock have their keys', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto(w.path);
  await page.keyboard.press('w');
  await expect(dialog(page).getByLabel('Its share in percent')).toBeFocused();
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await page.keyboard.press('l');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.type('freeze');
  await page.keyboard.press('Enter');
  await until('it is locked', async () => (await w.route()).lock);
  await page.goto(w.path);
  await page.keyboard.press('l');
  await expect(dialog(page).getByRole('button', { name: 'Unlock' })).toBeVisible();
});

test('the palette finds an environment and leads there', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto('/');
  for (const key of ['/', 'Control+k']) {
    await page.keyboard.press(key);
    await expect(page.getByRole('combobox', { name: /Find an environment/ })).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(page.getByRole('combobox', { name: /Find an environment/ })).toBeHidden();
  }
  await page.keyboard.press('/');
  await page.keyboard.type(w.name);
  await expect(page.getByRole('listbox', { name: 'Found' }).getByRole('option').first()).toContainText(w.name);
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(w.path));
});

test('the help sheet lists the keys, and g leads to pages', async ({ page }) => {
  await signIn(page);
  await page.goto('/');
  await page.keyboard.press('?');
  await expect(dialog(page)).toContainText('roll back');
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await page.keyboard.press('g');
  await page.keyboard.press('f');
  await expect(page).toHaveURL(/\/fleet$/);
});

test('everything on a page can be reached by Tab, and what has the focus shows it', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto(w.path);
  const wanted = await page.getByRole('link', { name: 'Promote generation 2' }).first().evaluate((el) => el.href);
  for (let i = 0; i < 60; i += 1) {
    await page.keyboard.press('Tab');
    const now = await page.evaluate(() => ({ href: document.activeElement.href, outline: getComputedStyle(document.activeElement).outlineStyle }));
    if (now.href === wanted) {
      expect(now.outline).not.toBe('none');
      return;
    }
  }
  throw new Error('60 times Tab did not reach the button to promote');
});

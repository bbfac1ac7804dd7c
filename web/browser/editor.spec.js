// What is typed into the editor of an environment stays, whichever side it was typed into and whatever it is.
import { test, expect, signIn, api, until } from './world.js';

const json = (page) => page.locator('[name=json]');
const review = (page) => page.getByRole('button', { name: 'Review the changes' }).last();

test('form and JSON follow each other, and the one that was edited last counts', async ({ page, world }) => {
  const w = await world();
  await signIn(page);
  await page.goto(`${w.path}/edit`);
  await page.getByLabel('Keep for').fill('3h');
  await expect(json(page)).toHaveValue(/"keep_for": "3h"/);
  const text = (await json(page).inputValue()).replace('"keep_for": "3h"', '"keep_for": "4h"');
  await json(page).fill(text);
  await expect(page.getByLabel('Keep for')).toHaveValue('4h');
  // Sent at once, before anything could follow.
  await json(page).fill(text.replace('"4h"', '"5h"'));
  await review(page).click();
  await expect(page.getByRole('group', { name: 'Changed fields' })).toContainText('5h');
});

test('whoever types on while the other side follows stays where they are', async ({ page, world }) => {
  const w = await world();
  await signIn(page);
  await page.route('**/edit', async (route) => { // a slow line
    if (route.request().method() === 'POST') await new Promise((done) => setTimeout(done, 400));
    await route.continue();
  });
  await page.goto(`${w.path}/edit`);
  const [description, keep] = [page.getByLabel('Description'), page.getByLabel('Keep for')];
  await description.fill('one');
  await keep.focus();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('45m', { delay: 150 });
  await expect(json(page)).toHaveValue(/"keep_for": "45m"/);
  await expect(json(page)).toHaveValue(/"description": "one"/);
  await expect(keep).toBeFocused();
  await expect(keep).toHaveValue('45m');
  await expect(description).toHaveValue('one');
});

for (const script of [true, false]) {
  test(`JSON that cannot be read is kept, with what is wrong beside it, ${script ? 'with' : 'without'} a script`, async ({ browser, world }) => {
    const w = await world();
    const context = await browser.newContext({ javaScriptEnabled: script });
    const page = await context.newPage();
    await signIn(page);
    await page.goto(`${w.path}/edit`);
    const broken = (await json(page).inputValue()).replace('{', '{ "mine": tru,');
    await json(page).fill(broken);
    if (script) await expect(json(page)).toHaveAttribute('aria-invalid', 'true');
    await page.getByLabel('Keep for').fill('3h');
    await review(page).click();
    await expect(json(page)).toHaveAttribute('aria-invalid', 'true');
    await expect(json(page)).toHaveValue(broken);
    await expect(page.locator('.editor-json .error')).toContainText('line 1');
    await expect(page.getByLabel('Keep for')).toHaveValue('3h');
    await json(page).fill('');
    await page.getByLabel('Keep for').fill('3h'); // edited last, so that it counts
    await review(page).click();
    await expect(page.getByRole('group', { name: 'Changed fields' })).toContainText('3h');
    await page.getByRole('button', { name: /^Save/ }).click();
    await until('it is saved', async () => (await api('GET', w.url)).spec.retention.keep_for.startsWith('3h'));
    await context.close();
  });
}

// Everything that a person can do, by the mouse, with what the screen says afterwards.
import { test, expect, api, signIn, until, name } from './world.js';

const dialog = (page) => page.locator('#dialog');
const press = (page, label) => dialog(page).getByRole('button', { name: label, exact: true }).click();
const reason = (page, text) => dialog(page).getByLabel('Reason').fill(text);

// twoGenerations is an environment with generation 1 live and generation 2 ready.
async function twoGenerations(world, spec) {
  const w = await world(spec);
  await w.register('1.0.0');
  await w.promote(1);
  await w.register('1.1.0');
  return w;
}

test('promote, and roll back', async ({ page, world }) => {
  const w = await twoGenerations(world);
  await signIn(page);
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
  await expect(dialog(page).getByText('goes from generation 1 to generation 2')).toBeVisible();
  await expect(dialog(page).getByRole('table', { name: '' }).first()).toContainText('100 %');
  await reason(page, 'the browser says so');
  await press(page, 'Promote generation 2');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  await expect(dialog(page).getByRole('list', { name: 'Receipts of the nodes' })).toContainText('builtin/');
  expect((await w.route()).live).toBe(2);
  await dialog(page).getByRole('link', { name: 'Close' }).click();
  await expect(dialog(page)).toBeHidden();

  const back = page.getByRole('link', { name: 'Roll back to generation 1' }).first();
  await back.click();
  await expect(dialog(page).getByText('goes from generation 2 back to generation 1')).toBeVisible();
  await reason(page, 'errors');
  await press(page, 'Roll back to generation 1');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  const route = await w.route();
  expect(route.live).toBe(1);
  const list = await api('GET', `${w.url}/switches`);
  expect(list.items[0]).toMatchObject({ kind: 'rollback', from: 2, to: 1, reason: 'errors' });
  expect(list.items[1]).toMatchObject({ kind: 'promote', reason: 'the browser says so' });
});

test('release automation, validate again, promote again', async ({ page, world }) => {
  const w = await twoGenerations(world);
  await w.promote(2);
  await w.rollback({ from: 2 });
  await signIn(page);
  await page.goto(w.path);
  await expect(page.getByText('Automation is held', { exact: true })).toBeVisible();
  await page.getByRole('link', { name: 'Release automation' }).first().click();
  await press(page, 'Release automation');
  await expect(dialog(page).getByRole('heading').first()).toBeVisible();
  await until('automation is released', async () => !(await w.route()).automation.held);

  await page.goto(`${w.path}/generations/2`);
  await page.getByRole('link', { name: 'Validate again' }).first().click();
  await press(page, 'Validate again');
  await w.state(2, 'ready');
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
  await press(page, 'Promote generation 2');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
});

test('roll back to a named generation', async ({ page, world }) => {
  const w = await twoGenerations(world, { retention: { keep_generations: 3 } });
  await w.promote(2);
  await w.register('1.2.0');
  await w.promote(3);
  await signIn(page);
  await page.goto(w.path);
  await page.goto(`${w.path}/generations/1`);
  await page.getByRole('link', { name: 'Roll back to generation 1' }).first().click();
  await press(page, 'Roll back to generation 1');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  expect((await w.route()).live).toBe(1);
});

test('weights, lock and unlock', async ({ page, world }) => {
  const w = await twoGenerations(world);
  await signIn(page);
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Set weights' }).click();
  await dialog(page).getByLabel('Its share in percent').fill('10');
  await reason(page, 'a taste');
  await press(page, 'Set weights');
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  expect((await w.route()).weights).toMatchObject({ 1: 90, 2: 10 });

  await page.goto(w.path);
  await page.getByRole('link', { name: 'Lock', exact: true }).click();
  await reason(page, 'Black Friday');
  await press(page, 'Lock');
  await expect(dialog(page)).toContainText('is locked');
  await page.goto(`${w.path}/generations/2/promote`); // as from a dialog that was open before
  await page.getByRole('region', { name: 'What stands in the way' }).getByRole('link', { name: 'Unlock' }).click();
  await expect(dialog(page).getByRole('button', { name: 'Unlock', exact: true })).toBeVisible();
  await page.goto(w.path);
  await expect(page.locator('#head')).toContainText('Black Friday');
  await page.getByRole('link', { name: 'Unlock' }).click();
  await press(page, 'Unlock');
  await until('it is unlocked', async () => !(await w.route()).lock);
});

test('keep longer, and retire', async ({ page, world }) => {
  const w = await twoGenerations(world);
  await w.promote(2);
  const before = (await w.route()).rollback.keep_until;
  await signIn(page);
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Keep longer' }).first().click();
  await dialog(page).getByLabel('7 days from now').check();
  await press(page, 'Keep until then');
  await until('it is kept longer', async () => (await w.route()).rollback.keep_until > before);
  await page.goto(`${w.path}/generations/1`);
  await page.getByRole('link', { name: 'Retire' }).first().click();
  await press(page, 'Retire generation 1');
  await until('it retires', async () => ['retiring', 'retired'].includes((await api('GET', `${w.url}/generations/1`)).state));
});

test('make, edit and delete an environment', async ({ page }) => {
  const environment = name('edited');
  const review = () => page.getByRole('button', { name: 'Review the changes' }).last().click();
  await signIn(page);
  await page.goto('/new-environment');
  await page.locator('[name=name]').fill(environment);
  await page.locator('[name="services.0.name"]').fill('web');
  await review();
  await page.getByRole('button', { name: /^(Create|Make|Save)/ }).click();
  await until('it is there', () => api('GET', `/v1/environments/${environment}`).catch(() => null));

  await page.goto(`/environments/${environment}/edit`);
  await page.getByLabel('Keep for').fill('nonsense');
  await review();
  await expect(page.getByLabel('Keep for')).toHaveAttribute('aria-invalid', 'true');
  await page.getByLabel('Keep for').fill('3h');
  await review();
  await expect(page.getByRole('group', { name: 'Changed fields' })).toContainText('3h');
  await page.getByRole('button', { name: /^Save/ }).click();
  await until('it is saved', async () => (await api('GET', `/v1/environments/${environment}`)).spec.retention.keep_for.startsWith('3h'));

  await page.goto(`/environments/${environment}`);
  await page.getByText('More', { exact: true }).click();
  await page.getByRole('link', { name: 'Delete environment' }).click();
  await dialog(page).getByLabel(/Type the name/).fill(environment);
  await press(page, `Delete ${environment}`);
  await until('it is gone', () => api('GET', `/v1/environments/${environment}`).then(() => false, () => true));
});

test('tokens are shown once and can be deleted', async ({ page }) => {
  await signIn(page);
  await page.goto('/tokens');
  await page.getByRole('link', { name: 'New token' }).click();
  const label = name('ci');
  await dialog(page).getByRole('textbox', { name: 'Name' }).fill(label);
  await dialog(page).getByRole('textbox', { name: 'Environments' }).fill('shop-*');
  await dialog(page).getByRole('radio', { name: /^deployer/ }).check();
  await press(page, 'Make the token');
  const text = (await dialog(page).locator('.copy-text').innerText()).trim();
  expect(text).toMatch(/^vir_/);
  expect(await api('GET', '/v1/whoami', undefined, text)).toMatchObject({ role: 'deployer' });
  await page.goto('/tokens');
  await expect(page.locator('body')).not.toContainText(text);
  await page.getByRole('row', { name: new RegExp(label) }).getByRole('link', { name: 'Delete' }).click();
  await press(page, 'Delete it');
  await until('it is refused', () => api('GET', '/v1/whoami', undefined, text).then(() => false, () => true));
});

test('double click is one switch', async ({ page, world }) => {
  const w = await twoGenerations(world);
  await signIn(page);
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
  await dialog(page).getByRole('button', { name: 'Promote generation 2' }).dblclick();
  await expect(dialog(page).getByRole('status')).toContainText('Seen on every node');
  expect((await w.route()).revision).toBe(2);
});

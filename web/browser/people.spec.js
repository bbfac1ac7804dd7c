// Who may do what, two people at once, and sessions that end.
import { test, expect, api, signIn, signInByForm, token, name, until } from './world.js';

const dialog = (page) => page.locator('#dialog');

async function ready(world) {
  const w = await world();
  await w.register('1.0.0');
  await w.promote(1);
  await w.register('1.1.0');
  return w;
}

test('a wrong token is told so, and nothing is kept', async ({ page }) => {
  await page.goto('/tokens');
  await expect(page).toHaveURL(/\/login/);
  await page.getByLabel('API token').fill('vir_wrong_token');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('main')).toContainText('token');
  await expect(page.getByRole('navigation')).toHaveCount(0);
});

test('a viewer sees everything and can press nothing', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page, await token('viewer'));
  await page.goto(w.path);
  await expect(page.locator('#sides')).toContainText('1.1.0');
  const promote = page.getByRole('button', { name: 'Promote generation 2' }).first();
  await expect(promote).toBeDisabled();
  await expect(page.locator('#sides')).toContainText('needs the role deployer');
  for (const button of await page.getByRole('main').locator('button:disabled').all()) {
    if (await button.isVisible()) expect(await button.locator('xpath=following-sibling::*[1]').innerText()).not.toBe('');
  }
  await page.keyboard.press('p');
  await expect(page.locator('.told')).toContainText('needs the role deployer');
  // What the page does not offer is refused as well.
  const answer = await page.request.get(`${w.path}/generations/2/promote`);
  expect(answer.status()).toBe(403);
  const csrf = await page.locator('input[name=csrf_token]').first().getAttribute('value');
  const posted = await page.request.post(`${w.path}/generations/2/promote`, { form: { csrf_token: csrf, expected_revision: '1' }, maxRedirects: 0 });
  expect(posted.status()).toBe(403);
  expect((await w.route()).live).toBe(1);
});

test('of two people who press at once, the second sees who won', async ({ browser, world }) => {
  const w = await ready(world);
  const [anna, ben] = [await (await browser.newContext()).newPage(), await (await browser.newContext()).newPage()];
  await signIn(anna);
  const label = name('ben');
  const made = await api('POST', '/v1/tokens', { name: label, role: 'operator', environments: ['*'] });
  await signIn(ben, made.token);
  for (const page of [anna, ben]) {
    await page.goto(w.path);
    await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
    await expect(dialog(page).getByRole('button', { name: 'Promote generation 2' })).toBeVisible();
  }
  await dialog(ben).getByLabel('Reason').fill('ben was first');
  await dialog(ben).getByRole('button', { name: 'Promote generation 2' }).click();
  await expect(dialog(ben).getByRole('status')).toContainText('Seen on every node');
  await dialog(anna).getByRole('button', { name: 'Promote generation 2' }).click();
  await expect(dialog(anna)).toContainText(label);
  await expect(dialog(anna)).toContainText('ben was first');
  expect((await w.route()).revision).toBe(2);
  await anna.context().close();
  await ben.context().close();
});

test('a session that ends in mid-dialog loses nothing', async ({ page, world }) => {
  const w = await ready(world);
  const made = await api('POST', '/v1/tokens', { name: name('short'), role: 'operator', environments: ['*'] });
  await signIn(page, made.token);
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
  await dialog(page).getByLabel('Reason').fill('a long sentence that I do not want to type twice');
  await api('DELETE', `/v1/tokens/${made.id}`);
  await dialog(page).getByRole('button', { name: 'Promote generation 2' }).click();
  await expect(page.getByText('Your session has ended').first()).toBeVisible();
  expect((await w.route()).live).toBe(1);
  await page.getByLabel('API token').fill(await token('operator'));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByLabel('Reason')).toHaveValue('a long sentence that I do not want to type twice');
  await page.getByRole('button', { name: 'Promote generation 2' }).click();
  await until('it is promoted', async () => (await w.route()).live === 2);
});

test('a session can be ended from the list', async ({ browser, page }) => {
  const other = await (await browser.newContext({ userAgent: 'An older browser' })).newPage();
  const text = await token('operator');
  await signInByForm(other, text);
  await signIn(page, text);
  await page.goto('/sessions');
  await page.getByRole('row', { name: /An older browser/ }).getByRole('button', { name: /End|Sign out/ }).click();
  await other.goto('/');
  await expect(other).toHaveURL(/\/login/);
  await other.context().close();
});

test('signing out ends the session', async ({ page }) => {
  await signInByForm(page, await token('viewer'));
  const cookies = await page.context().cookies();
  await page.locator('header summary').click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(page).toHaveURL(/\/login/);
  await page.context().addCookies(cookies); // kept by somebody
  await page.goto('/fleet');
  await expect(page).toHaveURL(/\/login/);
});

test('the link that dev prints signs in once', async ({ page, browser }) => {
  const link = process.env.VIRIDIAN_LINK;
  await page.goto(link);
  await page.reload(); // looking does not spend it, as a preview of a chat would
  const button = page.getByRole('button', { name: /^Sign in as/ });
  test.skip(await button.count() === 0, 'it was used by an earlier round');
  await button.click();
  await expect(page.getByRole('navigation')).toBeVisible();
  const other = await (await browser.newContext()).newPage();
  await other.goto(link);
  await expect(other.getByRole('button', { name: /^Sign in as/ })).toHaveCount(0);
  await expect(other.getByRole('navigation')).toHaveCount(0);
  await other.context().close();
});

test('the audit log is verified and taken along', async ({ page, world }) => {
  await ready(world);
  await signIn(page, await token('viewer'));
  await page.goto('/audit');
  for (const form of ['CSV', 'JSON']) {
    const download = page.waitForEvent('download');
    await page.getByRole('link', { name: `Export ${form}` }).click();
    expect((await download).suggestedFilename()).toBe(`viridian-audit.${form.toLowerCase()}`);
  }
  await page.getByRole('link', { name: 'Verify' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Intact.' })).toContainText('every hash was computed anew');
  const head = await page.locator('.verify-head').first().innerText();
  await page.getByLabel('Noted hashes').fill(`${head}\n${'0'.repeat(64)}`);
  await page.getByRole('button', { name: 'Verify again' }).click();
  await expect(page.getByRole('status').filter({ hasText: 'Not intact.' })).toContainText('1 noted hash is not in the log');
  await expect(page.getByRole('listitem').filter({ hasText: head })).toContainText('found');
});

// Every deed that there is, without a mouse: by a key, by the palette, or by Tab and Enter.
import { test, expect, api, signIn, signInByForm, token, name, until } from './world.js';

const dialog = (page) => page.locator('#dialog');
const palette = (page) => page.getByRole('combobox', { name: /Find an environment/ });

// two makes an environment with generation 1 live and generation 2 ready.
async function two(world, spec) {
  const w = await world(spec);
  await w.register('1.0.0');
  await w.promote(1);
  await w.register('1.1.0');
  return w;
}

// find looks for the words in the palette and takes the entry of that name.
async function find(page, words, label) {
  await page.keyboard.press('/');
  await expect(palette(page)).toBeFocused();
  await page.keyboard.type(words);
  const wanted = page.getByRole('option').filter({ has: page.getByText(label, { exact: true }) }).first();
  await expect(wanted).toBeVisible();
  for (let i = 0; i < 40 && (await wanted.getAttribute('aria-selected')) !== 'true'; i += 1) await page.keyboard.press('ArrowDown');
  await expect(wanted).toHaveAttribute('aria-selected', 'true');
  await page.keyboard.press('Enter');
}

// tabTo presses Tab until the element has the focus, and sees that it shows it.
async function tabTo(page, element) {
  await expect(element).toBeVisible();
  const wanted = await element.elementHandle();
  for (let i = 0; i < 150; i += 1) {
    if (await wanted.evaluate((el) => el === document.activeElement)) {
      expect(await wanted.evaluate((el) => getComputedStyle(el).outlineStyle)).not.toBe('none');
      return;
    }
    await page.keyboard.press('Tab');
  }
  throw new Error(`150 times Tab did not reach ${element}`);
}

// press does so with the button of that name in the dialog.
async function press(page, label) {
  await tabTo(page, dialog(page).getByRole('button', { name: label, exact: true }));
  await page.keyboard.press('Enter');
}

const applied = (page) => expect(dialog(page).getByRole('status')).toContainText('Seen on every node');

test('promote and roll back by their keys', async ({ page, world }) => {
  const w = await two(world);
  await signIn(page);
  await page.goto(w.path);
  await page.keyboard.press('p');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.type('typed');
  await page.keyboard.press('Enter');
  await applied(page);
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await expect(page.locator('#route')).toContainText('revision 2');
  await page.keyboard.press('r');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.press('Enter');
  await applied(page);
  expect((await w.route()).live).toBe(1);
});

test('weights, lock and unlock by their keys, and a key that says why not', async ({ page, world }) => {
  const w = await two(world);
  await signIn(page);
  await page.goto(w.path);
  await page.keyboard.press('w');
  await expect(dialog(page).getByLabel('Its share in percent')).toBeFocused();
  await page.keyboard.press('Control+a');
  await page.keyboard.type('10');
  await page.keyboard.press('Enter');
  await applied(page);
  expect((await w.route()).weights).toMatchObject({ 1: 90, 2: 10 });
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await page.keyboard.press('l');
  await expect(dialog(page).getByLabel('Reason')).toBeFocused();
  await page.keyboard.type('freeze');
  await page.keyboard.press('Enter');
  await until('it is locked', async () => (await w.route()).lock);
  await page.goto(w.path);
  await page.keyboard.press('w');
  await expect(page.locator('.told')).toContainText('Set weights: token:dev locked the environment: freeze');
  await page.keyboard.press('l');
  await expect(dialog(page).getByRole('button', { name: 'Unlock' })).toBeVisible();
  await press(page, 'Unlock');
  await until('it is unlocked', async () => !(await w.route()).lock);
});

test('validate and release automation by the palette', async ({ page, world }) => {
  const w = await two(world);
  await w.promote(2);
  await w.rollback({ from: 2 });
  await signIn(page);
  await page.goto('/');
  await find(page, `${w.name} release`, 'Release automation');
  await press(page, 'Release automation');
  await until('automation is released', async () => !(await w.route()).automation.held);
  await page.goto('/fleet');
  await find(page, `${w.name} validate`, 'Validate again: generation 2');
  await press(page, 'Validate again');
  await w.state(2, 'ready');
});

test('keep longer, roll back to a named generation, and retire by the palette', async ({ page, world }) => {
  const w = await two(world, { retention: { keep_generations: 3 } });
  await w.promote(2);
  await w.register('1.2.0');
  await w.promote(3);
  await signIn(page);
  await page.goto(w.path);
  const before = (await w.route()).rollback.keep_until;
  await find(page, `${w.name} keep`, 'Keep longer: generation 2');
  const first = dialog(page).getByRole('radio').first();
  await expect(first).toBeVisible();
  await tabTo(page, dialog(page).getByRole('radio', { checked: true }));
  const week = dialog(page).getByLabel('7 days from now');
  for (let i = 0; i < 8 && !(await week.isChecked()); i += 1) await page.keyboard.press('ArrowDown');
  await press(page, 'Keep until then');
  await until('it is kept longer', async () => (await w.route()).rollback.keep_until > before);
  await page.goto(w.path);
  await find(page, `${w.name} roll back`, 'Roll back to generation 1');
  await press(page, 'Roll back to generation 1');
  await applied(page);
  expect((await w.route()).live).toBe(1);
  await page.goto('/');
  await find(page, `${w.name} retire`, 'Retire: generation 2');
  await press(page, 'Retire generation 2');
  await until('it retires', async () => ['retiring', 'retired'].includes((await api('GET', `${w.url}/generations/2`)).state));
});

test('make, edit and delete an environment', async ({ page }) => {
  const environment = name('typed');
  await signIn(page);
  await page.goto('/');
  await find(page, 'new environment', 'New environment');
  await expect(page).toHaveURL(/\/new-environment$/);
  await tabTo(page, page.locator('[name=name]'));
  await page.keyboard.type(environment);
  await page.keyboard.press('Enter');
  await tabTo(page, page.getByRole('button', { name: 'Create it' }));
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(new RegExp(`/environments/${environment}`));
  await expect(page.locator('#live')).toHaveAttribute('data-state', 'live'); // its script listens
  await page.keyboard.press('e');
  await expect(page).toHaveURL(new RegExp(`/environments/${environment}/edit$`));
  await tabTo(page, page.getByLabel('Keep for'));
  await page.keyboard.press('Control+a');
  await page.keyboard.type('3h');
  await page.keyboard.press('Enter');
  await expect(page.getByRole('group', { name: 'Changed fields' })).toContainText('3h');
  await tabTo(page, page.getByRole('button', { name: /^Save/ }));
  await page.keyboard.press('Enter');
  await until('it is saved', async () => (await api('GET', `/v1/environments/${environment}`)).spec.retention.keep_for.startsWith('3h'));
  await expect(page).toHaveURL(new RegExp(`/environments/${environment}\\?`));
  await find(page, `${environment} delete`, 'Delete environment');
  await expect(dialog(page).getByLabel(/Type the name/)).toBeFocused();
  await page.keyboard.type(environment);
  await press(page, `Delete ${environment}`);
  await until('it is gone', () => api('GET', `/v1/environments/${environment}`).then(() => false, () => true));
});

test('make and delete a token, and end a session', async ({ page, browser }) => {
  const label = name('typed');
  await signIn(page);
  await page.goto('/');
  await find(page, 'new token', 'New token');
  await expect(dialog(page).getByRole('textbox', { name: 'Name' })).toBeFocused();
  await page.keyboard.type(label);
  await tabTo(page, dialog(page).getByRole('textbox', { name: 'Environments' }));
  await page.keyboard.press('Control+a');
  await page.keyboard.type('*');
  await press(page, 'Make the token');
  const text = (await dialog(page).locator('.copy-text').innerText()).trim();
  const other = await (await browser.newContext({ userAgent: label })).newPage();
  await signInByForm(other, text);
  await page.goto('/sessions');
  await tabTo(page, page.getByRole('row', { name: new RegExp(label) }).getByRole('button', { name: /^End it/ }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('row', { name: new RegExp(label) })).toHaveCount(0);
  await other.goto('/');
  await expect(other).toHaveURL(/\/login/);
  await other.context().close();
  await page.goto('/tokens');
  await tabTo(page, page.getByRole('row', { name: new RegExp(label) }).getByRole('link', { name: 'Delete' }));
  await page.keyboard.press('Enter');
  await press(page, 'Delete it');
  await until('it is refused', () => api('GET', '/v1/whoami', undefined, text).then(() => false, () => true));
});

test('take a node out', async ({ page }) => {
  await signIn(page);
  const row = page.locator('#node-former-gone-1');
  await page.goto('/fleet');
  if (await page.locator('#removed-former').count() === 0) { // nobody did before
    await expect(row).toContainText('unreachable', { timeout: 30_000 });
    await tabTo(page, row.getByRole('link', { name: 'Take out' }));
    await page.keyboard.press('Enter');
    await press(page, 'Take it out');
    await expect(dialog(page).getByRole('heading', { name: 'Node gone-1 is taken out' })).toBeVisible();
    await page.goto('/fleet');
  }
  const removed = page.locator('#removed-former');
  await tabTo(page, removed.locator('summary'));
  await page.keyboard.press('Enter');
  await expect(removed).toContainText('gone-1');
  await expect(row).toHaveCount(0);
  const { items } = await api('GET', '/v1/routers');
  expect(items.flatMap((r) => r.nodes).filter((n) => n.name === 'gone-1' && n.state !== 'removed')).toEqual([]);
});

test('the palette finds an environment and leads there', async ({ page, world }) => {
  const w = await two(world);
  await signIn(page);
  await page.goto('/');
  for (const key of ['/', 'Control+k']) {
    await page.keyboard.press(key);
    await expect(palette(page)).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(palette(page)).toBeHidden();
  }
  await find(page, w.name, w.name);
  await expect(page).toHaveURL(new RegExp(w.path));
});

test('every key of the help sheet does what it says', async ({ page, world }) => {
  const w = await two(world);
  await w.promote(2);
  await w.register('1.2.0');
  await signIn(page);
  const opens = (label) => async () => {
    await expect(dialog(page).getByRole('heading').first()).toContainText(label);
    await page.keyboard.press('Escape');
    await expect(dialog(page)).toBeHidden();
  };
  const leads = (path) => async () => {
    await expect(page).toHaveURL(path);
    await page.goto(w.path);
  };
  const finds = async () => {
    await expect(palette(page)).toBeFocused();
    await page.keyboard.press('Escape');
    await expect(palette(page)).toBeHidden();
  };
  const does = {
    '/': finds, 'Ctrl K': finds, '?': opens('Keys'), Esc: async () => {},
    'g e': leads(/\/$/), 'g f': leads(/\/fleet$/), 'g a': leads(/\/audit$/), 'g t': leads(/\/tokens$/), 'g s': leads(/\/sessions$/),
    r: opens('Roll back'), p: opens('Promote generation 3'), w: opens('weights'), l: opens('Lock'), e: leads(new RegExp(`${w.path}/edit$`)),
  };
  await page.goto('/keys');
  const listed = await page.locator('.keys dt').evaluateAll((all) => all.map((dt) => [...dt.querySelectorAll('kbd')].map((k) => k.textContent).join(' ')));
  expect(listed.toSorted()).toEqual(Object.keys(does).toSorted());
  await page.goto(w.path);
  for (const keys of listed) {
    if (keys === 'Ctrl K') await page.keyboard.press('Control+k');
    else for (const key of keys.split(' ')) await page.keyboard.press(key === 'Esc' ? 'Escape' : key);
    await test.step(keys, does[keys]);
  }
});

test('who turned the keys off is left alone by them', async ({ page, world }) => {
  const w = await two(world);
  await signIn(page, await token('operator'));
  await page.goto(w.path);
  await page.keyboard.press('?');
  await dialog(page).getByRole('checkbox').uncheck();
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await page.keyboard.press('p');
  await page.keyboard.press('Control+k');
  await expect(palette(page)).toBeFocused();
  await expect(dialog(page)).toBeHidden();
});

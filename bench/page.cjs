// A real browser on one page. It reads orders from standard input, one JSON value a line, and answers each with a line:
// {"paint": true} loads the page anew and says when it was painted; {"watch": MS} says what processor time it took for so
// long. The packages are those of web/browser, which is where this is run.
'use strict';
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline');
const { chromium } = require(require.resolve('@playwright/test', { paths: [process.cwd()] }));

const ticksPerSecond = 100;

// processes is what every process under the browser has used so far, in seconds, by whether it draws pages.
function processes(browser) {
  const all = new Map();
  for (const pid of fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = fs.readFileSync(path.join('/proc', pid, 'stat'), 'utf8');
      const fields = stat.slice(stat.lastIndexOf(') ') + 2).split(' ');
      const command = fs.readFileSync(path.join('/proc', pid, 'cmdline'), 'utf8');
      all.set(Number(pid), { parent: Number(fields[1]), used: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond, draws: command.includes('--type=renderer') });
    } catch {
      // it has ended
    }
  }
  const under = (pid) => pid === browser || (all.has(pid) && under(all.get(pid).parent));
  let [renderer, whole] = [0, 0];
  for (const [pid, p] of all) {
    if (!under(pid)) continue;
    whole += p.used;
    if (p.draws) renderer += p.used;
  }
  return { renderer, whole };
}

async function main() {
  const { VIRIDIAN_URL: url, VIRIDIAN_TOKEN: token, VIRIDIAN_CHROMIUM: executablePath } = process.env;
  const server = await chromium.launchServer({ executablePath, args: ['--no-sandbox'] });
  const browser = await chromium.connect(server.wsEndpoint());
  const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
  await page.goto(url + '/login');
  await page.getByLabel('API token').fill(token);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('navigation').waitFor();

  const orders = {
    async paint() {
      await page.goto(url + '/');
      await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint').length > 0);
      return page.evaluate(() => {
        const at = performance.getEntriesByType('navigation')[0];
        return { after: performance.getEntriesByName('first-contentful-paint')[0].startTime - at.responseEnd, bytes: at.decodedBodySize,
          response: at.responseEnd - at.requestStart, cards: document.querySelectorAll('.environment-card').length };
      });
    },
    async watch(ms) {
      await page.evaluate(() => {
        window.seen ??= new MutationObserver(() => { window.changes += 1; });
        window.seen.observe(document.getElementById('cards'), { childList: true, subtree: true, characterData: true });
        window.changes = 0;
        window.before = document.getElementById('env-shop-1').textContent;
      });
      const before = processes(server.process().pid);
      await new Promise((done) => setTimeout(done, ms));
      const after = processes(server.process().pid);
      return { renderer: (after.renderer - before.renderer) / (ms / 1000), whole: (after.whole - before.whole) / (ms / 1000),
        changes: await page.evaluate(() => window.changes) / (ms / 1000),
        moved: await page.evaluate(() => document.getElementById('env-shop-1').textContent !== window.before), live: await page.locator('#live').getAttribute('data-state') };
    },
  };
  console.log(JSON.stringify({ ready: true }));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [[name, value]] = Object.entries(JSON.parse(line));
    console.log(JSON.stringify(await orders[name](value)));
  }
  await browser.close();
  await server.close();
}

main().catch((err) => { console.error(err); process.exit(1); });

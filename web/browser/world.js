// What the tests have in common: the API, instances that answer, environments, and signing in.
import http from 'node:http';
import { test as plain, expect } from '@playwright/test';

export { expect };

const url = process.env.VIRIDIAN_URL;
const admin = process.env.VIRIDIAN_TOKEN;

// api asks the API as the token says and returns the decoded answer; an error status throws with the problem.
export async function api(method, path, body, token = admin) {
  const answer = await fetch(url + path, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  });
  const text = await answer.text();
  const value = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
  return value;
}

// until polls the condition, and returns what it returns as soon as that is truthy.
export async function until(what, condition, limit = 30_000) {
  const deadline = Date.now() + limit;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what}: not within ${limit} ms`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

let count = 0;

// name is new in this run.
export function name(stem) {
  count += 1;
  return `${stem}-${process.env.TEST_WORKER_INDEX ?? 0}-${Date.now().toString(36)}${count}`;
}

// World is an environment of the test's own, with instances that answer.
class World {
  constructor(environment) {
    this.name = environment;
    this.servers = [];
    this.path = `/environments/${environment}`;
    this.url = `/v1${this.path}`;
  }

  async create(spec = {}) {
    await api('PUT', this.url, {
      name: this.name,
      services: [{ name: 'web', health: { type: 'tcp', interval: '300ms', timeout: '300ms', healthy_after: 1 } }],
      ...spec,
    });
    return this;
  }

  // instance starts a server that answers everything with 200, and returns how to register it.
  async instance(id = 'web-1') {
    const server = http.createServer((_, answer) => answer.end('ok\n'));
    await new Promise((done) => server.listen(0, '127.0.0.1', done));
    this.servers.push(server);
    return { id, address: '127.0.0.1', port: server.address().port };
  }

  // register makes a generation and waits until it is ready.
  async register(version, more = {}, instances = 2) {
    const list = [];
    for (let i = 1; i <= instances; i += 1) list.push(await this.instance(`web-${i}`));
    const g = await api('POST', `${this.url}/generations`, { version, groups: [{ service: 'web', instances: list }], ...more });
    await this.state(g.number, 'ready');
    return g.number;
  }

  state(number, wanted) {
    return until(`generation ${number} of ${this.name} is ${wanted}`, async () => {
      const g = await api('GET', `${this.url}/generations/${number}`);
      return g.state === wanted && g;
    });
  }

  promote(number) { return api('POST', `${this.url}/generations/${number}/promote`, { reason: 'from a test' }); }
  rollback(body = {}) { return api('POST', `${this.url}/rollback`, body); }
  route() { return api('GET', `${this.url}/route`); }
  end() { for (const s of this.servers) { s.closeAllConnections(); s.close(); } }
}

// token makes a token of the role and returns its text.
export async function token(role, environments = ['*']) {
  const made = await api('POST', '/v1/tokens', { name: name(role), role, environments });
  return made.token;
}

// signIn signs the page's browser in without loading a page, as whoever comes back to it is.
export async function signIn(page, text = admin) {
  const answer = await fetch(url + '/login', { method: 'POST', redirect: 'manual', body: new URLSearchParams({ token: text }), headers: { origin: url, accept: 'text/html' } });
  const cookie = /^([^=]+)=([^;]+)/.exec(answer.headers.get('set-cookie') ?? '');
  if (!cookie) throw new Error(`sign in: ${answer.status}`);
  await page.context().addCookies([{ name: cookie[1], value: cookie[2], domain: new URL(url).hostname, path: '/', secure: true, httpOnly: true, sameSite: 'Lax' }]);
}

// signInByForm does so as a person does.
export async function signInByForm(page, text = admin) {
  await page.goto('/login');
  await page.getByLabel('API token').fill(text);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(page.getByRole('navigation')).toBeVisible();
}

// test has a fixture more: world(spec) makes an environment that ends with the test.
export const test = plain.extend({
  world: async ({}, use) => {
    const made = [];
    await use(async (spec) => {
      const w = await new World(name('shop')).create(spec);
      made.push(w);
      return w;
    });
    for (const w of made) {
      await api('DELETE', `${w.url}/lock`).catch(() => {}); // none, mostly
      // Its addresses may be given to another environment's instances next.
      await api('DELETE', `${w.url}?force=true`).catch(() => {}); // a test may have deleted it
      w.end();
    }
  },
});

// Looks for violations of WCAG 2 A and AA in pages, as light, dark and printed, at the
// widths of a desk and a phone, with axe-core in Debian's Chromium. Exit code 1 where
// there are any. With --shots DIR it keeps pictures of every page it looked at.
//
//   node check.mjs [--shots DIR] PAGE.html…
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const args = process.argv.slice(2);
let shots = '';
if (args[0] === '--shots') [, shots] = args.splice(0, 2);

const looks = [
  { name: 'light', colorScheme: 'light', width: 1280 },
  { name: 'dark', colorScheme: 'dark', width: 1280 },
  { name: 'phone', colorScheme: 'dark', width: 390 },
  { name: 'print', colorScheme: 'light', width: 794, media: 'print' },
];
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
let bad = 0;
for (const file of args) {
  for (const look of looks) {
    // The page allows no scripts; the check is one, so the policy is set aside for it.
    const context = await browser.newContext({ bypassCSP: true, colorScheme: look.colorScheme, viewport: { width: look.width, height: 900 } });
    const page = await context.newPage();
    await page.emulateMedia({ media: look.media ?? 'screen', colorScheme: look.colorScheme });
    const started = Date.now();
    await page.goto(pathToFileURL(path.resolve(file)).href);
    const opened = Date.now() - started;
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    await page.evaluate(axe);
    const found = await page.evaluate(() => window.axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
    const name = `${path.basename(path.dirname(file))}/${path.basename(file)} ${look.name}`;
    for (const v of found.violations) {
      bad++;
      console.log(`${name}: ${v.id} (${v.impact}): ${v.help}`);
      for (const n of v.nodes.slice(0, 3)) console.log(`  ${n.target.join(' ')}: ${n.html.slice(0, 160)}`);
    }
    if (wide > 0) {
      bad++;
      console.log(`${name}: the page is ${wide} px wider than the window`);
    }
    if (found.passes.length < 15) {
      bad++;
      console.log(`${name}: only ${found.passes.length} rules applied; is this a report?`);
    }
    console.log(`${name}: ${found.passes.length} rules passed, ${found.violations.length} violated; open in ${opened} ms`);
    if (shots) {
      // A window at a time: a picture of a whole report is more than Chromium draws.
      const high = await page.evaluate(() => document.documentElement.scrollHeight);
      for (let i = 0; i * 1600 < high; i++) {
        await page.setViewportSize({ width: look.width, height: 1600 });
        await page.evaluate((y) => window.scrollTo({ top: y, behavior: 'instant' }), i * 1600);
        await page.screenshot({ path: path.join(shots, `${name.replace(/[/ ]/g, '_')}_${String(i).padStart(2, '0')}.png`) });
      }
    }
    await context.close();
  }
}
await browser.close();
process.exit(bad ? 1 : 0);

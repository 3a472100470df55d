import type { Panel, RowPanel } from '@grafana/grafana-foundation-sdk/dashboard';

const GRID_WIDTH = 24;

type AnyPanel = Panel | RowPanel;

const isRow = (panel: AnyPanel): panel is RowPanel => panel.type === 'row';

/**
 * Places panels on the grid from left to right, line under line, in the sizes that they have, and numbers them.
 * @throws when a line is not filled, or when its panels differ in height: there would be a hole.
 */
export function place(panels: readonly AnyPanel[]): AnyPanel[] {
  let x = 0;
  let y = 0;
  let lineHeight = 0;
  return panels.map((panel, index) => {
    const title = panel.title ?? '';
    const { w, h } = isRow(panel) ? { w: GRID_WIDTH, h: 1 } : sizeOf(panel);
    if (x + w > GRID_WIDTH) throw new Error(`no room for ${title}: ${w} at ${x}`);
    if (x > 0 && h !== lineHeight) throw new Error(`${title} is ${h} high, what is left of it ${lineHeight}`);
    const placed = { ...panel, id: index + 1, gridPos: { x, y, w, h } };
    lineHeight = h;
    x = (x + w) % GRID_WIDTH;
    if (x === 0) y += h;
    else if (index === panels.length - 1) throw new Error(`${title} leaves a hole on its right`);
    return placed;
  });
}

function sizeOf(panel: Panel): { w: number; h: number } {
  if (panel.gridPos === undefined) throw new Error(`${panel.title} has no size`);
  return panel.gridPos;
}

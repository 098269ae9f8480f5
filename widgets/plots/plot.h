// SPDX-License-Identifier: GPL-3.0-or-later
#pragma once

#include <QWidget>

#include <functional>
#include <vector>

class QCPAxis;
class QCustomPlot;
class QCPLayer;
class QCPItemText;
class QCPItemLine;
class QAction;

namespace lqer {

// A column of what a plot shows, for CSV and the clipboard.
struct PlotColumn {
    QString title;
    std::vector<double> values;  // NaN: nothing is known here
};

// What every plot of the program has: the theme's colours, crosshair values, wheel zoom, drag to pan, a double click or Home to
// see everything again, and a context menu to copy and to save PNG, PDF or CSV. Replots are queued, so that many changes in a row
// cost one. Overlays (crosshair, markers) live on a layer of their own and are redrawn without the curves.
class Plot : public QWidget {
    Q_OBJECT

public:
    explicit Plot(QWidget *parent = nullptr);
    ~Plot() override;

    QSize sizeHint() const override { return {520, 300}; }
    QSize minimumSizeHint() const override { return {220, 140}; }

    // The data in words and numbers, one column per curve. Also what assistive technology gets.
    virtual std::vector<PlotColumn> columns() const = 0;
    QString csv() const;
    // Shows all data again.
    virtual void resetView() = 0;

    // Written as everything is: complete or not at all. Throw Error.
    void savePng(const QString &path);
    void savePdf(const QString &path);
    void saveCsv(const QString &path);
    void copyImage();
    void copyData();
    // Asks where to and saves; says so if it cannot.
    enum class FileKind { Png, Pdf, Csv };
    void askAndSave(FileKind kind);

    // A line in the middle instead of the axes' data: "Nothing decomposed yet". Empty removes it.
    void setMessage(const QString &message);

    QCustomPlot *canvas() const { return m_plot; }

signals:
    // The cursor's position in words ("rank 32, sigma 0.0123"), "" when it left.
    void cursorText(const QString &text);

protected:
    // Words for a position in data coordinates; "" shows no crosshair.
    virtual QString describePosition(const QPointF &position) const = 0;
    // Called after the theme changed: pens and brushes of the curves.
    virtual void restyle() {}
    // Mouse events of the canvas in pixels, before zoom and pan get them. Return true to keep them.
    virtual bool pressed(const QPoint &position) { Q_UNUSED(position) return false; }
    virtual bool moved(const QPoint &position) { Q_UNUSED(position) return false; }
    virtual bool released(const QPoint &position) { Q_UNUSED(position) return false; }

    bool eventFilter(QObject *watched, QEvent *event) override;
    void changeEvent(QEvent *event) override;
    void contextMenuEvent(QContextMenuEvent *event) override;
    void keyPressEvent(QKeyEvent *event) override;

    // A logarithmic axis with plain numbers where they are short and powers of ten elsewhere.
    static void makeLogarithmic(QCPAxis *axis);

    QCPLayer *overlay() const { return m_overlay; }
    void queueReplot();
    void replotOverlay();

private:
    void applyColours();
    void wrapMessage();
    void updateCrosshair(const QPoint &position);
    void hideCrosshair();
    QString suggestedName() const;

    QCustomPlot *m_plot;
    QCPLayer *m_overlay;
    QCPItemLine *m_vertical;
    QCPItemText *m_readout;
    QCPItemText *m_message;
    QString m_words;  // of the message, before it is broken into lines
    bool m_grabbed = false;
};

}  // namespace lqer

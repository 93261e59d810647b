"""Text and HTML of Gaudi Lab's results, from the same data.

`mixin` is what the data classes inherit; `timelines` and `states` lay them out, once for each form, by the
means of `layout`, and `views` has them all; `units` writes numbers for people; `templates/` and `style.css`
hold the HTML.
"""

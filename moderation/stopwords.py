"""Words that say nothing of what a comment is about."""


def _words(text):
    return frozenset(text.split())


#: scikit-learn's list of English stop words, whose import takes longer, and more memory, than all of serving.
COMMON = _words(
    """
    a about above across after afterwards again against all almost alone along already also although always am
    among amongst amoungst amount an and another any anyhow anyone anything anyway anywhere are around as at back
    be became because become becomes becoming been before beforehand behind being below beside besides between
    beyond bill both bottom but by call can cannot cant co con could couldnt cry de describe detail do done down
    due during each eg eight either eleven else elsewhere empty enough etc even ever every everyone everything
    everywhere except few fifteen fifty fill find fire first five for former formerly forty found four from front
    full further get give go had has hasnt have he hence her here hereafter hereby herein hereupon hers herself
    him himself his how however hundred i ie if in inc indeed interest into is it its itself keep last latter
    latterly least less ltd made many may me meanwhile might mill mine more moreover most mostly move much must my
    myself name namely neither never nevertheless next nine no nobody none noone nor not nothing now nowhere of
    off often on once one only onto or other others otherwise our ours ourselves out over own part per perhaps
    please put rather re same see seem seemed seeming seems serious several she should show side since sincere six
    sixty so some somehow someone something sometime sometimes somewhere still such system take ten than that the
    their them themselves then thence there thereafter thereby therefore therein thereupon these they thick thin
    third this those though three through throughout thru thus to together too top toward towards twelve twenty
    two un under until up upon us very via was we well were what whatever when whence whenever where whereafter
    whereas whereby wherein whereupon wherever whether which while whither who whoever whole whom whose why will
    with within without would yet you your yours yourself yourselves
    """
)
#: What that list lacks in comments: contractions, and verbs and fillers that fit anywhere.
CHATTY = _words(
    """
    ain't can't couldn't did didn't does doesn't doing don't dont gets getting goes going got gotten hasn't
    haven't he'd he'll he's i'd i'll i'm i've im isn't it'd it'll it's ive just let let's like lol lot make makes
    maybe need oh ok okay really said say says shall she'd she'll she's shouldn't that's there's they'd they'll
    they're they've thing things think use want wasn't way we'd we'll we're we've weren't what's when's where's
    who's won't wouldn't yeah yes you'd you'll you're you've
    """
)
STOP = COMMON | CHATTY
